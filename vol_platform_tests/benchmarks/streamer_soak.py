"""A long run at a multiple of the real rate: memory, descriptors, lags and gaps (card F21).

``python -m vol_platform_tests.benchmarks streamer_soak --minutes 60 --rate 7``.  The simulated
exchange, a real store and the collector run as processes of their own.  The simulator's rate 7 is
some 2,800 messages a second, three times the 911 that were measured of the real board.  The first
fifth of the time is warm-up: slopes are fitted to what follows, to every sample and to the floor:
the smallest of each twelfth.  A backlog of a busy moment raises a sample, a leak raises the floor.
Lags are of all messages, as upper bounds of the collector's own buckets.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate
from vol_platform_tests.benchmarks.streamer_outage import LIVE_RATE
from vol_platform_tests.benchmarks.streamer_throughput import environment
from vol_platform_tests.conftest import finish, start_store

SEED = 7
WARM_UP_SHARE = 0.2
_FLOOR_PARTS = 12
_SAMPLE_SECONDS = 5.0
_DRAIN_SECONDS = 60


def _resident_megabytes(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _ready_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
    if found is None:
        raise SystemExit("the simulated exchange did not start")
    return found[0]


def _quantile(metrics: str, stage: str, share: float) -> float:
    buckets = sorted(
        (float(sample.labels["le"]), sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "vol_streamer_lag_seconds_bucket" and sample.labels["stage"] == stage
    )
    total = buckets[-1][1] if buckets else 0.0
    reached = [bound for bound, count in buckets if total and count >= share * total]
    return reached[0] if reached else float("nan")


def _per_hour(seconds: list[float], values: list[float]) -> float:
    return float(np.polyfit(seconds, values, 1)[0] * 3600) if len(seconds) > 2 else float("nan")


def _floor(seconds: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Return time and value of the smallest sample of each twelfth."""
    parts = [part for part in np.array_split(np.arange(len(values)), _FLOOR_PARTS) if part.size]
    smallest = [int(part[np.argmin(np.take(values, part))]) for part in parts]
    return [seconds[place] for place in smallest], [values[place] for place in smallest]


def _report(database: Settings, metrics: str, samples: list[tuple[float, float, int]]) -> None:
    warm = samples[int(len(samples) * WARM_UP_SHARE) :]
    seconds, memory, descriptors = (list(each) for each in zip(*warm, strict=True))
    floor_seconds, floor = _floor(seconds, memory)
    slope, floor_slope = _per_hour(seconds, memory), _per_hour(floor_seconds, floor)
    print(
        f"memory {memory[0]:.1f} MB after the warm-up, {memory[-1]:.1f} MB at the end, largest "
        f"{max(memory):.1f} MB, slope {slope:+.2f} MB/h, of the floor {floor_slope:+.2f} MB/h "
        f"({', '.join(f'{each:.0f}' for each in floor)}); descriptors {min(descriptors)} to "
        f"{max(descriptors)}"
    )
    for stage in ("exchange_to_receive", "receive_to_spool", "receive_to_queryable"):
        middle, tail = (_quantile(metrics, stage, share) for share in (0.5, 0.99))
        print(f"{stage}: p50 <= {middle:g} s, p99 <= {tail:g} s")
    with connect(database) as client:
        gaps = client.query(
            "SELECT cause, count() FROM ingest_gaps FINAL GROUP BY cause ORDER BY cause"
        ).result_rows
        frames, data, control, dead, rows = client.query(
            "SELECT sum(frames), sum(data_messages), sum(control_messages), sum(dead_letters), "
            "sum(arraySum(mapValues(rows))) FROM ingest_segments FINAL"
        ).first_row
    print(f"gap rows: {dict(gaps) or 0}; dead letters {dead}")
    balance = "balanced" if frames == data + control + dead else "NOT BALANCED"
    per_second = frames / samples[-1][0]
    print(
        f"{frames:,} messages ({per_second:,.0f} a second, {per_second / LIVE_RATE:.1f} times the "
        f"real rate), {rows:,} rows, {balance}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Run, sample, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=7.0, help="of the simulated exchange")
    given = parser.parse_args(arguments)
    print(f"load average {os.getloadavg()[0]:.1f}; {given.minutes:g} minutes, seed {SEED}")
    simulator = [sys.executable, "-m", "vol_platform.simulator", "--rate", str(given.rate)]
    with tempfile.TemporaryDirectory() as folder:
        store = start_store(Path(folder) / "store")
        database = store.settings("vol_soak")
        migrate(database)
        exchange = subprocess.Popen(
            [*simulator, "--seed", str(SEED)], stdout=subprocess.PIPE, text=True, env=environment()
        )
        log = (Path(folder) / "log").open("w+")
        collector = None
        try:
            address = _ready_address(exchange)
            variables = {
                "WEBSOCKET_URL": f"ws://{address}/ws/api/v2",
                "REST_URL": f"http://{address}/api/v2",
                "CLICKHOUSE__PORT": str(store.port),
                "CLICKHOUSE__DATABASE": "vol_soak",
                "SPOOL_DIRECTORY": f"{folder}/spool",
                "SPOOL__DISK_FLOOR_BYTES": "0",
                "COLLECTOR": "soak",
            }
            collector = subprocess.Popen(
                [sys.executable, "-m", "streamer.main", "run"],
                env=environment() | {f"VOL_STREAMER_{name}": it for name, it in variables.items()},
                stdout=log,
                stderr=log,
            )
            samples: list[tuple[float, float, int]] = []
            begun = time.monotonic()
            while (elapsed := time.monotonic() - begun) < given.minutes * 60:
                if collector.poll() is not None:
                    raise SystemExit(f"the collector ended: {Path(log.name).read_text()[-500:]}")
                pid = collector.pid
                samples.append((elapsed, _resident_megabytes(pid), _descriptors(pid)))
                time.sleep(_SAMPLE_SECONDS)
            url = re.search(r"http://127\.0\.0\.1:\d+/metrics", Path(log.name).read_text())
            if url is None:
                raise SystemExit("the collector's log does not say where its metrics are")
            with urllib.request.urlopen(url[0]) as answer:  # noqa: S310 - loopback, http by the pattern
                metrics = answer.read().decode()
            collector.terminate()
            collector.wait(_DRAIN_SECONDS)
            _report(database, metrics, samples)
        finally:
            for process in (collector, exchange):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()
            log.close()
            finish(store)


if __name__ == "__main__":
    main(sys.argv[1:])

"""The database away for hours, scaled: loss, memory, drain, and live lag afterwards (card F3).

``python -m vol_platform_tests.benchmarks streamer_outage``.  Six hours at three times the rate of
the real board are 59 million messages, which no benchmark sends.  Two things grow with an outage:
the bytes that wait, and the files that they are in.  So it is measured in two parts.

A backlog of a million messages, more than six minutes of such an outage, is sent as fast as the
socket takes it while no database answers; it lies in segments as large as those of a real one.
Then the feed goes on at three times the real rate, a real store starts at the awaited address, and
the spool drains beside the live feed.  Every update sent has its own instrument and time, so the
tables themselves tell what was lost and what came twice.

Beside that, what the spool does with a directory of as many files as six hours leave.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from streamer.clock import SYSTEM_CLOCK
from streamer.spool.segment import SegmentHeader, encode_frames, encode_header
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate
from vol_platform_tests.benchmarks.streamer_throughput import RunningSender, environment, sender
from vol_platform_tests.conftest import finish, start_store

LIVE_RATE = 911
"""Messages a second of the real board, measured (research of the project)."""
FACTOR = 3
BACKLOG = 1_000_000
OUTAGE_SECONDS = 6 * 3600
AFTER_SECONDS = 75
"""The feed goes on for so long after the drain."""
_ENDLESS = 10**9
_POLL_SECONDS = 0.1
_DRAINED = 2  # segments that wait while all is well
_DEADLINE_SECONDS = 600
_WINDOW_SECONDS = 10
_LAG_SECONDS = 1.0


def main() -> None:
    """Measure and print."""
    rate = FACTOR * LIVE_RATE
    print(f"load average {os.getloadavg()[0]:.1f}; backlog {BACKLOG:,}, live {rate:,} messages/s")
    _print_directory()
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder, sender(_ENDLESS, rate, BACKLOG) as feed:
        place = Path(folder)
        with _collector(place, feed, port) as collector:
            begun = time.monotonic()
            _until_bytes(place / "spool", BACKLOG * 700)
            print(
                f"backlog on disk after {time.monotonic() - begun:.0f} s: "
                f"{_waiting(place / 'spool')} segments, memory {_megabytes(collector.pid):.0f} MB"
            )
            store = start_store(place / "store", port=port)
            try:
                database = store.settings("vol_bench")
                migrate(database)
                drained_at = _print_drain(database, place / "spool", collector.pid)
                time.sleep(AFTER_SECONDS)
                sent = feed.end()
                printed, _ = collector.communicate(timeout=_DEADLINE_SECONDS)
                _print_lags(place / "lags", drained_at)
                _print_accounts(database, sent)
                peak = json.loads(printed.splitlines()[0])["peak_megabytes"]
                print(f"peak memory of the whole run {peak:.0f} MB")
            finally:
                finish(store)


@contextmanager
def _collector(folder: Path, feed: RunningSender, port: int) -> Iterator[subprocess.Popen[str]]:
    address = f"127.0.0.1:{feed.port}/"
    wanted = {
        "settings": {
            "websocket_url": f"ws://{address}ws/api/v2",
            "rest_url": f"http://{address}api/v2",
            "spool_directory": str(folder / "spool"),
            "spool": {"disk_floor_bytes": 0},
            "first_data_seconds": 3600.0,  # the channel of the request never speaks
            "collector": "bench",
            "clickhouse": {"port": port, "database": "vol_bench"},
        },
        "messages": _ENDLESS,
        "sealed_only": False,
        "channels": ["ticker.BTC-PERPETUAL.100ms"],
        "lags_file": str(folder / "lags"),
    }
    module = "vol_platform_tests.benchmarks._streamer_collector"
    collector = subprocess.Popen(
        [sys.executable, "-m", module, json.dumps(wanted)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        yield collector
    finally:
        collector.kill()
        collector.communicate()


def _print_drain(database: Settings, spool: Path, pid: int) -> float:
    """Wait until the spool is empty; return when that was, seconds since the epoch."""
    backlog, begun = _waiting(spool), time.monotonic()
    memory = 0.0
    while _waiting(spool) > _DRAINED:
        if time.monotonic() - begun > _DEADLINE_SECONDS:
            raise SystemExit(f"{_waiting(spool)} segments still wait")
        memory = max(memory, _megabytes(pid))
        time.sleep(_POLL_SECONDS)
    drained_at, seconds = time.time(), time.monotonic() - begun
    with connect(database) as client:
        rows = client.query("SELECT sum(data_messages) FROM ingest_segments").first_row[0]
    print(
        f"{backlog} segments drained in {seconds:.1f} s beside the live feed: "
        f"{rows / seconds:,.0f} rows/s, {rows / seconds / LIVE_RATE:.1f} times the real rate and "
        f"{rows / seconds / LIVE_RATE / FACTOR:.1f} times the feed; memory up to {memory:.0f} MB"
    )
    return drained_at


def _print_lags(path: Path, drained_at: float) -> None:
    """Print how long messages that came after the drain took until they were queryable."""
    received, lags = np.fromfile(path).reshape(-1, 2).T
    since = received - drained_at
    windows: dict[int, npt.NDArray[np.float64]] = {
        int(begin): lags[(since >= begin) & (since < begin + _WINDOW_SECONDS)]
        for begin in np.arange(0, since.max() - _WINDOW_SECONDS, _WINDOW_SECONDS)
    }
    shown = ", ".join(f"{np.quantile(each, 0.99):.2f}" for each in windows.values())
    print(f"receive to queryable p99, by {_WINDOW_SECONDS} s after the drain: {shown} s")
    calm = lags[since >= _WINDOW_SECONDS]
    print(
        f"from {_WINDOW_SECONDS} s after the drain: p50 {np.quantile(calm, 0.5):.2f} s, "
        f"p99 {np.quantile(calm, 0.99):.2f} s, {np.mean(calm < _LAG_SECONDS):.1%} within "
        f"{_LAG_SECONDS:g} s"
    )


def _print_accounts(database: Settings, sent: int) -> None:
    with connect(database) as client:
        rows, different = client.query(
            "SELECT count(), uniqExact(instrument_name, exchange_ts) FROM options_quotes"
        ).first_row
        frames, claimed, dead = client.query(
            "SELECT sum(frames), sum(data_messages), sum(dead_letters) FROM ingest_segments"
        ).first_row
        shown = client.query(
            "SELECT count(), sum(toUnixTimestamp64Milli(exchange_ts)) FROM options_quotes_minute"
        ).first_row
        expected = client.query(
            "SELECT count(), sum(newest) FROM ("
            "SELECT instrument_name, intDiv(toUnixTimestamp64Milli(exchange_ts) + 59999, 60000) "
            "AS minute, max(toUnixTimestamp64Milli(exchange_ts)) AS newest "
            "FROM options_quotes GROUP BY instrument_name, minute)"
        ).first_row
    print(
        f"{sent:,} sent, {rows:,} rows: {sent - different:,} lost, {rows - different:,} twice; "
        f"{claimed:,} of {frames:,} messages were data, {dead} dead letters; the view by minute "
        f"{'agrees' if shown == expected else f'DIFFERS: {shown}, not {expected}'}"
    )


def _print_directory() -> None:
    """Print what the spool's work costs in a directory that an outage filled with files."""
    with tempfile.TemporaryDirectory() as folder:
        now_ns = time.time_ns()
        for number in range(OUTAGE_SECONDS):
            header = SegmentHeader(f"b-{number}", "b", "stream", testnet=False, created_ns=now_ns)
            name = f"{now_ns:019d}-{number:08d}.seg"
            (Path(folder) / name).write_bytes(
                encode_header(header) + encode_frames(now_ns, 1, [b"{}"])
            )
        begun = time.monotonic()
        spool = Spool(
            Path(folder),
            collector="b",
            source="stream",
            testnet=False,
            clock=SYSTEM_CLOCK,
            limits=SpoolLimits(disk_floor_bytes=0),
        )
        spool.recover()
        started = time.monotonic()
        waiting = spool.sealed()
        listed = time.monotonic()
        for path in waiting[:20]:
            spool.finish(path)
        finished = time.monotonic()
        spool.close()
    print(
        f"{len(waiting):,} files wait: start {started - begun:.2f} s, to list them "
        f"{(listed - started) * 1e3:.0f} ms, to finish one {(finished - listed) / 20 * 1e3:.1f} ms"
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _waiting(spool: Path) -> int:
    return sum(1 for _ in spool.glob("*.seg"))


def _until_bytes(spool: Path, wanted: int) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while sum(path.stat().st_size for path in spool.glob("*.seg")) < wanted:
        if time.monotonic() > deadline:
            raise SystemExit("the backlog did not come")
        time.sleep(_POLL_SECONDS)


def _megabytes(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()

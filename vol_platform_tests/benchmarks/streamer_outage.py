"""The database away, scaled: memory, drain and live lag afterwards.

``python -m vol_platform_tests.benchmarks streamer_outage``.  A backlog is sent as fast as the
socket takes it while no database answers; then the feed goes on at three times the rate of the
real board, a real store starts at the awaited address, and the spool drains beside the live feed.
Every second makes one segment, whatever the length of the outage, so memory does not depend on it:
the peak is of a backlog of this size, and the directory of a real outage only holds more files.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform.store.migrate import migrate
from vol_platform_tests.benchmarks.streamer_throughput import environment, sender
from vol_platform_tests.conftest import finish, start_store

LIVE_RATE = 911
"""Messages a second of the real board, measured (research of the project)."""
BACKLOG = 150_000
LIVE_SECONDS = 150
_POLL_SECONDS = 0.25
_DRAINED = 2  # segments that wait while all is well
_DEADLINE_SECONDS = 400
_LAG_SAMPLES = 40


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


def _live_lags(database: Settings) -> list[float]:
    """Return how old the newest row is, sampled."""
    lags = []
    query = "SELECT toUnixTimestamp64Micro(max(received_ts)) FROM options_quotes"
    with connect(database) as client:
        for _ in range(_LAG_SAMPLES):
            lags.append(time.time() - client.query(query).result_rows[0][0] / 1e6)
            time.sleep(_POLL_SECONDS)
    return sorted(lags)


def main() -> None:
    """Measure and print."""
    rate = 3 * LIVE_RATE
    messages = BACKLOG + rate * LIVE_SECONDS
    port = _free_port()
    print(f"load average {os.getloadavg()[0]:.1f}; backlog {BACKLOG:,}, live {rate:,} messages/s")
    with tempfile.TemporaryDirectory() as folder, sender(messages, rate, BACKLOG) as feed:
        spool = Path(folder) / "spool"
        wanted = {
            "settings": {
                "websocket_url": f"ws://127.0.0.1:{feed}/ws/api/v2",
                "rest_url": f"http://127.0.0.1:{feed}/api/v2",
                "spool_directory": str(spool),
                "spool": {"disk_floor_bytes": 0},
                "first_data_seconds": 3600.0,  # the channel of the request never speaks
                "collector": "bench",
                "clickhouse": {"port": port, "database": "vol_bench"},
            },
            "messages": messages,
            "sealed_only": False,
            "channels": ["ticker.BTC-PERPETUAL.100ms"],
        }
        module = "vol_platform_tests.benchmarks._streamer_collector"
        collector = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(wanted)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        store = None
        try:
            _until_bytes(spool, BACKLOG * 700)
            store = start_store(Path(folder) / "store", port=port)
            database = store.settings("vol_bench")
            migrate(database)
            backlog, begun = _waiting(spool), time.monotonic()
            while _waiting(spool) > _DRAINED:
                time.sleep(_POLL_SECONDS)
            seconds = time.monotonic() - begun
            drained = BACKLOG + rate * seconds
            print(
                f"{backlog} segments drained in {seconds:.1f} s: {drained / seconds:,.0f} rows/s, "
                f"{drained / seconds / LIVE_RATE:.1f} times the real rate, live feed beside it"
            )
            lags = _live_lags(database)
            print(
                f"live lag after the drain: median {lags[len(lags) // 2]:.2f} s, "
                f"largest {lags[-1]:.2f} s"
            )
            printed, _ = collector.communicate(timeout=_DEADLINE_SECONDS)
            result = json.loads(printed.splitlines()[0])
            print(
                f"{result['rows']:,} of {messages:,} rows stored; "
                f"peak memory {result['peak_megabytes']:.0f} MB"
            )
        finally:
            collector.kill()
            collector.wait()
            if store is not None:
                finish(store)


if __name__ == "__main__":
    main()

"""The option chain at arbitrary past instants of the database that the settings point at.

::

    python -m vol_platform.simulator history --hours 24 --seconds-between-ticks 4 \
        | python -m streamer.main ingest -          # a simulated day, more than 20 million ticks
    python -m vol_platform_tests.benchmarks chain_at_instant

Cold: the engine's caches are dropped, and the operating system's too where we may.  Warm: the same
query again.  The instants are drawn from a printed seed.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client

from vol_platform.research import load_chain
from vol_platform.settings import load_settings
from vol_platform.store.client import connect

SEED = 20260302
INSTANTS = 20
PAGE_CACHE = Path("/proc/sys/vm/drop_caches")


def forget(client: Client) -> bool:
    """Drop caches; tell whether the operating system's went too."""
    for cache in ("MARK CACHE", "UNCOMPRESSED CACHE"):
        client.command(f"SYSTEM DROP {cache}")
    try:
        PAGE_CACHE.write_text("3")
    except OSError:
        return False
    return True


def milliseconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000.0


def main() -> None:
    """Print rows, span, and the time of a chain cold and warm."""
    with connect(load_settings()) as client:
        count, first, last = client.query(
            "SELECT count(), toUnixTimestamp64Milli(min(exchange_ts)),"
            " toUnixTimestamp64Milli(max(exchange_ts)) FROM options_quotes"
        ).result_rows[0]
        if not count:
            raise SystemExit("options_quotes is empty; this module's text says how to fill it")
        currency = client.query("SELECT any(currency) FROM options_quotes").result_rows[0][0]
        start = datetime.fromtimestamp(first / 1000, UTC)
        span = timedelta(milliseconds=last - first)
        print(f"{count:,} option ticks from {start:%Y-%m-%d %H:%M} UTC over {span}; seed {SEED}")
        draw = random.Random(SEED)
        cold, warm, sizes, whole = [], [], [], True
        for _ in range(INSTANTS):
            at = start + span * draw.uniform(0.02, 1.0)
            whole &= forget(client)
            cold.append(milliseconds(lambda at=at: load_chain(currency, at, client)))
            warm.append(
                min(milliseconds(lambda at=at: load_chain(currency, at, client)) for _ in range(3))
            )
            sizes.append(len(load_chain(currency, at, client)))
        what = (
            "engine and page cache dropped"
            if whole
            else "engine caches dropped, not the page cache"
        )
        print(f"chain of {min(sizes)}–{max(sizes)} options at {INSTANTS} instants")
        for name, times in ((f"cold ({what})", cold), ("warm", warm)):
            print(f"  {name}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms")


if __name__ == "__main__":
    main()

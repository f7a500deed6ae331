"""The surface at arbitrary minutes of the record by SQL, cold and warm.

::

    python -m vol_platform_tests.benchmarks backfill --days 30
    VOL_CLICKHOUSE__DATABASE=vol_benchmark python -m vol_platform_tests.benchmarks surface_at_minute

Cold: the engine's caches are dropped, and the operating system's too where we may.  Warm: the same
query again.  The minutes are drawn from a printed seed.
"""

from __future__ import annotations

import random
import statistics

from clickhouse_connect.driver.client import Client

from vol_platform.settings import load_settings
from vol_platform.store.client import connect, query_frame
from vol_platform_tests.benchmarks.chain_at_instant import forget, milliseconds

SEED = 20260302
MINUTES = 20
_WHERE = "WHERE snapshot_ts = {at:DateTime('UTC')} AND currency = {currency:String}"
QUERIES = {
    "parameters of every expiry": f"SELECT * FROM surfaces {_WHERE}",  # noqa: S608 - a text of ours
    "vol by delta and moneyness": f"SELECT * FROM surface_grid {_WHERE}",  # noqa: S608 - likewise
    "vol and greeks of every option": f"SELECT * FROM options_greeks {_WHERE}",  # noqa: S608 - likewise
}


def _measure(client: Client, query: str, minutes: list[tuple[str, str]]) -> str:
    cold, warm, rows = [], [], 0
    whole = True
    for at, currency in minutes:
        values = {"at": at, "currency": currency}

        def ask(values: dict[str, str] = values) -> None:
            nonlocal rows
            rows = query_frame(client, query, values).height

        whole &= forget(client)
        cold.append(milliseconds(ask))
        warm.append(min(milliseconds(ask) for _ in range(3)))
    dropped = "all caches" if whole else "engine caches only"
    return (
        f"{rows} rows; cold ({dropped}) median {statistics.median(cold):.0f} ms, worst "
        f"{max(cold):.0f} ms; warm median {statistics.median(warm):.0f} ms, "
        f"worst {max(warm):.0f} ms"
    )


def main() -> None:
    """Print what each query takes at the same minutes."""
    with connect(load_settings()) as client:
        known = client.query(
            "SELECT DISTINCT toString(snapshot_ts), currency FROM surfaces ORDER BY ALL"
        ).result_rows
        if not known:
            raise SystemExit("surfaces is empty; this module's text says how to fill it")
        minutes = random.Random(SEED).sample(known, min(MINUTES, len(known)))
        print(f"{len(known):,} surfaces from {known[0][0]} to {known[-1][0]}; seed {SEED}")
        for name, query in QUERIES.items():
            print(f"  {name}: {_measure(client, query, minutes)}")


if __name__ == "__main__":
    main()

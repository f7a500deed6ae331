"""Fills in simulated hours before now: ``python -m vol_platform.local.history``.

The simulator writes the frames it would have sent; the streamer takes them from standard input
through the same decoding, spool and writer as live ones.  Run once per database: when the hours
are there it does nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from vol_platform.errors import LocalStackError, VolError
from vol_platform.settings import Settings, load_settings

__all__ = ["fill_history"]

_TICK_SECONDS = 60


def _hours_present(settings: Settings) -> int:
    from vol_platform.store.client import connect

    client = connect(settings)
    try:
        return int(client.query("SELECT uniqExact(hour_ts) FROM ingest_hours").result_rows[0][0])
    finally:
        client.close()


def fill_history(settings: Settings, hours: int, seed: int, currencies: list[str]) -> None:
    """Write `hours` simulated hours that end now.

    Raises
    ------
    LocalStackError
        The simulator or the streamer failed.
    """
    if _hours_present(settings) >= hours:
        print("The simulated hours are already there.")
        return
    for currency in currencies:
        _fill(hours, seed, currency)


def _fill(hours: int, seed: int, currency: str) -> None:
    simulator = subprocess.Popen(
        [
            *(sys.executable, "-m", "vol_platform.simulator", "history"),
            *("--hours", str(hours), "--seed", str(seed), "--currency", currency),
            *("--seconds-between-ticks", str(_TICK_SECONDS)),
        ],
        stdout=subprocess.PIPE,
    )
    streamer = subprocess.Popen(
        [sys.executable, "-m", "streamer.main", "ingest", "-"], stdin=simulator.stdout
    )
    if simulator.stdout is not None:
        # The streamer holds the pipe now; should it end, the simulator must notice.
        simulator.stdout.close()
    codes = {"the streamer": streamer.wait(), "the simulator": simulator.wait()}
    for name, code in codes.items():
        if code != 0:
            msg = f"{name} ended with exit code {code} while filling in history; see above"
            raise LocalStackError(msg)


def _main() -> int:
    parser = argparse.ArgumentParser(description="Fill in simulated hours before now.")
    parser.add_argument("--hours", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--currencies", required=True, help="with commas between")
    arguments = parser.parse_args()
    try:
        currencies = arguments.currencies.split(",")
        fill_history(load_settings(), arguments.hours, arguments.seed, currencies)
    except VolError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())

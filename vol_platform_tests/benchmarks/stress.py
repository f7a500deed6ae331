"""Surfaces of markets that were not recorded: thousands of boards, mistreated hard.

``python -m vol_platform_tests.benchmarks.stress --boards 2000 --seed 1``

Each board is a recorded one (see `vol_platform_tests.conftest.real_data`) or one of the simulated
exchange, changed as `vol_platform_tests.quant.hard_markets` says, cleaned by the product's rules
and fitted twice: from its quotes, and from the surface of the board before the change.  Both must
end without an error, a NaN or a violation, exact or by finite differences; the exit status says
whether all did, and every failure is listed with what repeats it.  Times are CPU time, one
repetition.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from vol_platform.quant import warm_up
from vol_platform.quant.surface import Board, Surface, calibrate
from vol_platform.quant.validation import BoardReport, pool, validate_board
from vol_platform_tests.quant.boards import cleaned, recorded_rows
from vol_platform_tests.quant.hard_markets import MARKETS, hard_frame, simulated_rows

SIMULATED = ("BTC", "ETH", "BTC_USDC", "SOL_USDC")
_K = np.linspace(-1.0, 1.0, 9)
_YEARS = np.array([1e-4, 0.01, 0.2, 3.0])[:, None]


@dataclass
class Tally:
    """What the boards of one market came to."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    reports: list[BoardReport] = field(default_factory=list)
    warm_reports: list[BoardReport] = field(default_factory=list)


def _sources(folder: Path, count: int) -> list[tuple[str, str]]:
    """Return where boards come from, recorded and simulated by turns: (path or seed, currency)."""
    paths = sorted(folder.glob("chains/znmahbub*/*.csv.gz"))
    recorded = [(str(path), currency) for path in paths for currency in ("BTC", "ETH")]
    simulated = [(str(seed), SIMULATED[seed % 4]) for seed in range(max(len(recorded), 40))]
    both = [pair for two in zip(recorded, simulated, strict=False) for pair in two] or simulated
    return [both[i % len(both)] for i in range(count)]


def _rows(name: str, currency: str) -> pl.DataFrame:
    return simulated_rows(int(name), currency) if name.isdigit() else recorded_rows(
        Path(name), currency
    )  # fmt: skip


def _judged(board: Board, previous: Surface | None) -> tuple[float, BoardReport]:
    """Fit and judge; milliseconds of CPU and the report.  A NaN or a violation is an error."""
    start = time.process_time()
    surface = calibrate(board, previous=previous)
    spent = 1e3 * (time.process_time() - start)
    report = validate_board(board, surface)
    if report.violations:
        msg = f"{report.violations} violations: {report}"
        raise AssertionError(msg)
    if not np.isfinite(surface.rows).all():
        msg = "a slice is not finite"
        raise AssertionError(msg)
    for item in surface.report:
        if bool(item.reason) == (item.status == "ok"):
            msg = f"{item.expiry_ts} is {item.status} with reason {item.reason!r}"
            raise AssertionError(msg)
        if item.row is not None and not np.isfinite([*item.jw, item.atm_vol, item.vol_error]).all():
            msg = f"{item.expiry_ts} reports a NaN: {item}"
            raise AssertionError(msg)
    if surface.active.size and not (surface.total_variance(_K, _YEARS) > 0.0).all():
        msg = "a variance is not positive somewhere in time"
        raise AssertionError(msg)
    return spent, report


def _line(name: str, tally: Tally, errors: int) -> str:
    figures = pool(tally.reports)
    warm = pool(tally.warm_reports)
    times = "".join(
        f"{np.median(t):7.2f}{np.percentile(t, 99):7.1f}{max(t):7.1f}" if t else " " * 21
        for t in (tally.cold, tally.warm)
    )
    if not figures.get("quotes"):
        return f"{name:22}{len(tally.reports):6}{errors:5}"
    both = tally.reports + tally.warm_reports
    repaired = sum(item.repaired for item in both)
    fitted = sum(item.fitted for item in both)
    thin = sum(item.thin for item in both)
    return (
        f"{name:22}{len(tally.reports):6}{errors:5}{figures['in_spread_pooled']:9.2%}"
        f"{figures['in_spread_worst']:9.2%}{warm['in_spread_pooled']:9.2%}"
        f"{figures['retained_pooled']:9.2%}{fitted:8}{thin:7}{repaired:6}{times}"
    )


def main() -> None:
    """Run and print one line per market."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boards", type=int, default=1700, help="how many boards")
    parser.add_argument("--seed", type=int, default=1, help="which changes")
    parser.add_argument("--market", choices=MARKETS, help="one market only")
    parser.add_argument("--only", type=int, help="one board only, by its number")
    chosen = parser.parse_args()
    warm_up()
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("VOL_REAL_DATA", root.parent / "shared" / "data" / "real"))
    markets = (chosen.market,) if chosen.market else MARKETS
    numbers = range(chosen.boards) if chosen.only is None else [chosen.only]
    sources = _sources(folder, max(numbers) + 1)
    tallies: dict[str, Tally] = {name: Tally() for name in markets}
    errors: dict[str, int] = defaultdict(int)
    before: dict[tuple[str, str], tuple[pl.DataFrame, Surface]] = {}
    for number in numbers:
        market = markets[number % len(markets)]
        source = sources[number // len(markets)]
        seed = chosen.seed * 1_000_003 + number
        if source not in before:
            rows = _rows(*source)
            before[source] = rows, calibrate(Board.from_frame(cleaned(rows)))
        rows, earlier = before[source]
        tally = tallies[market]
        try:
            board = Board.from_frame(hard_frame(rows, market, seed))
            spent, report = _judged(board, None)
            tally.cold.append(spent)
            tally.reports.append(report)
            again = Board.from_frame(hard_frame(rows, market, seed))
            spent, report = _judged(again, earlier)
            tally.warm.append(spent)
            tally.warm_reports.append(report)
        except Exception:  # noqa: BLE001 - every failure is counted and shown
            errors[market] += 1
            print(f"board {number} of {source}, {market}, seed {seed}:\n{traceback.format_exc()}")
    print(
        f"{'market':22}{'boards':>6}{'bad':>5}{'in spr.':>9}{'worst':>9}{'warm':>9}{'retained':>9}"
        f"{'slices':>8}{'thin':>7}{'rep.':>6}"
        f"{'cold':>7}{'p99':>7}{'max':>7}{'warm':>7}{'p99':>7}{'max':>7} ms"
    )
    for name, tally in tallies.items():
        print(_line(name, tally, errors[name]))
    sys.exit(1 if sum(errors.values()) else 0)


if __name__ == "__main__":
    main()

"""The bar of the design in one table: metric, measured, target, best peer, ratio, verdict.

``make bench``; about five minutes.  Every time is the best repetition of a fresh process pinned to
one core, the median over interleaved rounds.  Errors are against 60-digit arithmetic.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

from vol_platform.quant import implied
from vol_platform.quant.greeks import greeks
from vol_platform_tests.benchmarks import iv_and_greeks, surface
from vol_platform_tests.benchmarks._peers import REPOSITORY
from vol_platform_tests.quant import reference
from vol_platform_tests.quant.test_greeks import natural_scale

ROUNDS = 4
WHEN_SET = {
    "lbriv, 200,000": 316.9,
    "lbriv, 1,000": 391.0,
    "opengreeks": 445.0,
    "svi_py": 17.6,
}
"""What the named libraries took when the targets were set, in the units of their lines.  A machine
on a slow day slows all: a time is also met where the ratio to the library is what it was to be."""
FOLDER = REPOSITORY / ".vol" / "bench"


@dataclass(frozen=True)
class Line:
    """One line of the bar; `peer` is the best other library, with its own figure."""

    metric: str
    measured: float
    target: float
    format: str
    peer: tuple[str, float] | None = None
    at_least: bool = False
    when_set: str = ""
    """Which entry of `WHEN_SET` the target belongs to; empty for none."""

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        if self.at_least:
            return self.measured >= self.target
        return self.measured <= self.target

    @property
    def ratio(self) -> float | None:
        """How many times slower the other library is; None where that is not the question."""
        if self.peer is None or self.at_least or not self.measured:
            return None
        return self.peer[1] / self.measured

    @property
    def needed_ratio(self) -> float | None:
        """The same when the target was set, for the library that it was set by."""
        if self.peer is None or not self.when_set.startswith(self.peer[0]):
            return None
        return WHEN_SET[self.when_set] / self.target if self.when_set else None

    @property
    def verdict(self) -> str:
        """``met``, ``met by ratio`` or ``MISSED``."""
        if self.met:
            return "met"
        if self.ratio is None or self.needed_ratio is None:
            return "MISSED"
        return "met by ratio" if self.ratio >= self.needed_ratio else "MISSED"

    def cells(self) -> tuple[str, ...]:
        """Text of the columns."""
        sign = ">=" if self.at_least else "<="
        peer = f"{self.peer[0]} {format(self.peer[1], self.format)}" if self.peer else ""
        return (
            self.metric, format(self.measured, self.format),
            f"{sign} {format(self.target, self.format)}", peer,
            "" if self.ratio is None else f"{self.ratio:.1f}x",
            "" if self.needed_ratio is None else f">= {self.needed_ratio:.1f}x",
            self.verdict,
        )  # fmt: skip


def best_peer(
    results: iv_and_greeks.Rounds, size: int, metric: str, outputs: int = 1
) -> tuple[str, float] | None:
    """Fastest other library with at least so many outputs, and its nanoseconds an option."""
    found = []
    for (name, batch), rounds in results.items():
        if name == "ours" or batch != size or metric not in rounds[0]:
            continue
        value = iv_and_greeks.median(rounds, metric)
        if value is not None and rounds[0][metric]["outputs"] >= outputs:
            found.append((name, value))
    return min(found, key=lambda item: item[1], default=None)


def iv_error() -> float:
    """Largest relative error on the hard grid (out of the money); infinite if any is missing."""
    grid = reference.hard_grid()
    vol = implied.implied_vol(
        grid.price, grid.forward, grid.strike, grid.expiry_years, grid.is_call
    )
    error = np.abs(vol / grid.vol - 1.0)
    return float(np.max(np.where(np.isfinite(error), error, np.inf)))


def greek_error() -> float:
    """Largest error of any greek on the hard grid, against the size of what is subtracted."""
    grid = reference.hard_grid(scores=(0.05, 1.3, 4.0, 12.0))
    ours = greeks(grid.forward, grid.strike, grid.expiry_years, grid.vol, grid.is_call)
    worst = 0.0
    for at in range(len(grid)):
        columns = (grid.forward, grid.strike, grid.expiry_years, grid.vol)
        row = tuple(float(column[at]) for column in columns)
        exact = reference.greeks(*row, bool(grid.is_call[at]))
        for value, column, scale in zip(exact, ours, natural_scale(exact, *row), strict=True):
            if float(scale) >= 1e-290:
                worst = max(worst, abs(float((mp.mpf(float(column[at])) - value) / scale)))
    return worst


def option_lines(results: iv_and_greeks.Rounds) -> list[Line]:
    """Lines of implied volatilities and greeks."""

    def own(size: int, metric: str) -> float:
        value = iv_and_greeks.median(results["ours", size], metric)
        return float("nan") if value is None else value

    return [
        Line("implied vol, ns an option, batch of 200,000", own(200_000, "iv"), 20.0, ".1f",
             best_peer(results, 200_000, "iv"), when_set="lbriv, 200,000"),
        Line("implied vol, us a batch of 1,000", own(1_000, "iv"), 25.0, ".1f",
             best_peer(results, 1_000, "iv"), when_set="lbriv, 1,000"),
        Line("implied vol, relative error, hard grid", iv_error(), 1e-14, ".1e"),
        Line("14 greeks, ns an option, batch of 1,000", own(1_000, "greeks"), 12.0, ".1f",
             best_peer(results, 1_000, "greeks", 14), when_set="opengreeks"),
        Line("14 greeks, ns an option, batch of 1,000,000", own(1_000_000, "greeks"), 20.0, ".1f",
             best_peer(results, 200_000, "greeks", 14), when_set="opengreeks"),
        Line("the same into given memory", own(1_000_000, "greeks_into_given_memory"), 20.0,
             ".1f", best_peer(results, 200_000, "greeks", 14), when_set="opengreeks"),
        Line("greeks, error, hard grid", greek_error(), 1e-13, ".1e"),
    ]  # fmt: skip


def surface_lines(
    times: dict[str, Any], peers: dict[str, dict[str, Any]], judged: dict[str, dict[str, float]],
    first_seconds: float,
) -> list[Line]:  # fmt: skip
    """Lines of the fit of a chain."""
    speeds = {name: float(np.median(result["milliseconds"])) for name, result in peers.items()}
    peer = ("svi_py", speeds["svi_py"]) if "svi_py" in speeds else None
    share = ("svi_py", peers["svi_py"]["in_spread"]) if "svi_py" in peers else None
    cold, warm = judged["cold"], judged["warm"]
    violations = sum(
        pooled[f"violations_{check}"] for pooled in judged.values() for check in ("exact", "finite")
    )
    fits = [
        Line(
            f"fit of a chain, {start}, {name} ms", float(np.percentile(times[start], share_below)),
            target, ".2f", peer, when_set="svi_py",
        )
        for start, name, share_below, target in (
            ("cold", "median", 50, 10.0), ("cold", "p99", 99, 10.0),
            ("warm", "median", 50, 1.0), ("warm", "p99", 99, 5.0),
        )
    ]  # fmt: skip
    return [
        *fits,
        Line("quotes in spread, pooled", cold["in_spread_pooled"], 0.97, ".2%", share, True),
        Line("quotes in spread, worst board", cold["in_spread_worst"], 0.92, ".2%", None, True),
        Line("the same of warm fits, pooled", warm["in_spread_pooled"], 0.97, ".2%", None, True),
        Line("the same, worst board", warm["in_spread_worst"], 0.92, ".2%", None, True),
        Line("two-sided quotes retained", cold["retained_pooled"], 0.95, ".2%", None, True),
        Line("arbitrage violations, exact and 1.6x range", violations, 0.0, ".0f"),
        Line("first surface of a process, s", first_seconds, 1.0, ".2f"),
    ]  # fmt: skip


def table(lines: Sequence[Line]) -> str:
    """Aligned text."""
    head = ("metric", "measured", "target", "best peer", "ratio", "needed", "verdict")
    rows = [head, *(line.cells() for line in lines)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in (0, 3, 6) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


def _step(what: str, action: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = action()
    print(f"{what}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return result


def main() -> None:
    """Measure everything and print the table."""
    core = min(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    print(f"{_processor()}, core {core} of {os.cpu_count()}, Python {platform.python_version()}")
    print(f"load {load:.1f} before the start, {ROUNDS} rounds")
    if load > 1.0:
        print("other work is running: times are too long")
    pairs = _step("boards", surface.boards)
    first = _step(
        "first surfaces", lambda: surface.first_surface_seconds(pairs[0][0], 3, FOLDER, core)
    )
    times, peers, no_surface = _step("fits", lambda: surface.collect(pairs, ROUNDS, FOLDER, core))
    judged = _step("quality", lambda: surface.quality(pairs))
    results, no_option = _step("options", lambda: iv_and_greeks.collect(ROUNDS, FOLDER, core))
    lines = option_lines(results) + surface_lines(times, peers, judged, first)
    print()
    print(table(lines))
    print()
    for name, result in sorted(peers.items()):
        milliseconds = np.median(result["milliseconds"])
        print(f"{name} fits a chain in {milliseconds:.1f} ms, {result['in_spread']:.1%} in spread")
    for name, reason in {**no_surface, **no_option}.items():
        print(f"{name} not measured: {reason}")
    print()
    iv_and_greeks.report(results, {})


if __name__ == "__main__":
    main()

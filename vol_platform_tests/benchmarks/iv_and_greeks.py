"""Implied volatility and greeks beside other libraries: ``python -m …benchmarks.iv_and_greeks``.

Method: every measurement in a fresh process pinned to one core, best repetition per process, median
over interleaved rounds, batches of 1,000 and 200,000 out-of-the-money options (1,000,000 for ours).
A peer lives in an environment of its own under ``.vol/bench``, made on demand; one that cannot be
had is reported as missing.  The machine should be otherwise idle.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vol_platform.quant import black76
from vol_platform_tests.benchmarks._peers import PEERS, REPOSITORY, environment, measure

WORKER = Path(__file__).with_name("_worker.py")
BATCHES = (1_000, 200_000, 1_000_000)
ONLY_OURS = 1_000_000
SUBJECTS = tuple(name for name in PEERS if name != "svi_py")

Rounds = dict[tuple[str, int], list[dict[str, Any]]]


def make_batch(size: int, path: Path) -> None:
    """Store a seeded batch: one forward, eight expiries, strikes by standard deviations."""
    generator = np.random.default_rng(20261122)
    forward = 61_803.39
    years = generator.choice([0.25, 1, 2, 7, 30, 90, 180, 364], size) / 365.0
    vol = generator.uniform(0.25, 1.3, size)
    score = generator.normal(0.0, 1.4, size)
    strike = forward * np.exp(score * vol * np.sqrt(years))
    is_call = strike > forward
    price = black76.price(forward, strike, years, vol, is_call)
    np.savez(
        path, forwards=np.full(size, forward), strike=strike, years=years, vol=vol,
        is_call=is_call, price=price,
    )  # fmt: skip


def collect(
    rounds: int, folder: Path, core: int | None, peers: Sequence[str] = SUBJECTS
) -> tuple[Rounds, dict[str, str]]:
    """Measure ours and the peers on every batch, in interleaved rounds; and who is missing, why."""
    folder.mkdir(parents=True, exist_ok=True)
    pythons: dict[str, Path] = {"ours": Path(sys.executable)}
    missing: dict[str, str] = {}
    for name in peers:
        found = environment(name, folder)
        if isinstance(found, str):
            missing[name] = found
        else:
            pythons[name] = found
    batches = {}
    for size in BATCHES:
        batches[size] = folder / f"batch_{size}.npz"
        make_batch(size, batches[size])
    results: Rounds = {}
    for _ in range(rounds):
        for size in BATCHES:
            for name, python in pythons.items():
                if name in missing or (size == ONLY_OURS and name != "ours"):
                    continue
                result = measure(WORKER, name, python, batches[size], core)
                if isinstance(result, str):
                    missing[name] = result
                else:
                    results.setdefault((name, size), []).append(result)
    return results, missing


def median(rounds: list[dict[str, Any]], metric: str) -> float | None:
    """Median over rounds of the nanoseconds an option of a metric; None where not measured."""
    values = [r[metric]["nanoseconds"] for r in rounds if metric in r]
    return statistics.median(values) if values else None


def line(name: str, size: int, rounds: list[dict[str, Any]]) -> str:
    """Format the medians of one peer on one batch."""

    def column(metric: str) -> str:
        value = median(rounds, metric)
        return f"{'-':>10}" if value is None else f"{value:10.1f}"

    outputs = rounds[0].get("greeks", {}).get("outputs", 0)
    worst = rounds[0].get("worst")
    return (
        f"{name:12} {size:8,d} {column('iv')} {column('greeks')} {outputs:3d} "
        f"{column('greeks_into_given_memory')} {column('price')} "
        f"{'-' if worst is None else format(worst, '.1e'):>9} {rounds[0].get('missing', '-')!s:>7} "
        f"{statistics.median(r['first_call_seconds'] for r in rounds):8.2f}"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".vol" / "bench")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--peers", nargs="*", default=list(SUBJECTS))
    options = parser.parse_args(arguments if arguments is not None else [])
    print(f"implied volatility and greeks; core {options.core}, load {os.getloadavg()[0]:.1f}")
    results, missing = collect(options.rounds, options.folder, options.core, options.peers)
    report(results, missing)


def report(results: Rounds, missing: dict[str, str]) -> None:
    """Print one line for each library and batch."""
    print("nanoseconds per option; n = outputs of the greeks bundle; worst relative iv error")
    print(
        f"{'library':12} {'batch':>8} {'iv':>10} {'greeks':>10} {'n':>3} {'into out':>10} "
        f"{'price':>10} {'worst':>9} {'missing':>7} {'first s':>8}"
    )
    for (name, size), rounds in sorted(results.items(), key=lambda item: (item[0][1], item[0][0])):
        print(line(name, size, rounds))
    for name, reason in missing.items():
        print(f"{name:12} missing: {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])

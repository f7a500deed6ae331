"""The surface bar: milliseconds of a cold and a warm fit, and how good the fit is.

Recorded boards when they are there (see `vol_platform_tests.conftest.real_data`), else synthetic
ones.  A warm fit starts from the surface of the board a moment before: the forward has moved by a
basis point and a tenth of the quotes by a tick.  A fit begins at quoted prices and ends with every
check passed.  Times are CPU time, which on an idle machine is the time that passes.  Each round is
a fresh process pinned to one core, the best of several repetitions for each board; then the median
over rounds, and median and 99th percentile over the boards.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant import black76, implied
from vol_platform.quant.surface import Board, calibrate
from vol_platform.quant.validation import pool, validate_board
from vol_platform_tests.benchmarks._peers import REPOSITORY, environment, measure
from vol_platform_tests.quant.boards import recorded_frame, synthetic_frame

WORKER = Path(__file__).with_name("_surface_worker.py")
PEER_SURFACES = ("svi_py", "quantkit", "quantlib")


def _frames() -> list[pl.DataFrame]:
    named = os.environ.get("VOL_REAL_DATA")
    root = Path(__file__).resolve().parents[2]
    folder = Path(named) if named else root.parent / "shared" / "data" / "real"
    paths = sorted(folder.glob("chains/znmahbub*/*.csv.gz"))
    if not paths:
        return [synthetic_frame(noise=0.5, seed=seed) for seed in range(20)]
    return [recorded_frame(path, currency) for path in paths for currency in ("BTC", "ETH")]


def _a_moment_later(frame: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Move the forward by a basis point at unchanged volatilities, and some quotes by a tick."""
    generator = np.random.default_rng(seed)
    factor = float(np.exp(1e-4 * generator.normal()))
    forward, strike, years, tick = (
        frame[name].to_numpy() for name in ("forward", "strike", "expiry_years", "tick_size")
    )
    is_call = frame["is_call"].to_numpy()
    noise = tick * generator.choice([-1.0, 1.0], frame.height)
    noise = noise * (generator.random(frame.height) < 0.1)

    def moved(name: str) -> npt.NDArray[np.float64]:
        price = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        vol = implied.implied_vol(price * forward, forward, strike, years, is_call)
        later = black76.price(forward * factor, strike, years, vol, is_call) / (forward * factor)
        later = np.round(later / tick) * tick + noise
        return np.where(np.isfinite(later) & (later > 0), later, price)

    bid, ask = moved("bid_price"), moved("ask_price")
    sound = ask > bid
    return frame.with_columns(
        pl.Series("bid_price", np.where(sound, bid, np.nan)),
        pl.Series("ask_price", np.where(sound, ask, np.nan)),
        (pl.col("forward") * factor).alias("forward"),
    )


def boards() -> list[tuple[Board, Board]]:
    """Boards, each with the one a moment later."""
    return [
        (Board.from_frame(frame), Board.from_frame(_a_moment_later(frame, seed)))
        for seed, frame in enumerate(_frames())
    ]


def quality(pairs: Sequence[tuple[Board, Board]]) -> dict[str, dict[str, float]]:
    """Pooled figures of the cold surfaces, and of the warm ones that follow them."""
    cold, warm = [], []
    for board, later in pairs:
        surface = calibrate(board)
        cold.append(validate_board(board, surface))
        warm.append(validate_board(later, calibrate(later, previous=surface)))
    return {"cold": pool(cold), "warm": pool(warm)}


def _save_chains(pairs: Sequence[tuple[Board, Board]], path: Path) -> None:
    """Store the two-sided quotes of a few boards for the peers, slices of eight quotes or more."""
    columns: dict[str, list[npt.NDArray[np.float64]]] = {
        name: [] for name in ("k", "strike", "bid", "ask")
    }
    slices: list[tuple[int, int, int, float, float]] = []
    at = 0
    for chain, (board, _) in enumerate(pairs[:: max(len(pairs) // 3, 1)][:3]):
        quotes = board.fit_quotes
        for i, (years, forward) in enumerate(zip(board.expiry_years, board.forward, strict=True)):
            used = quotes.two_sided(i)
            count = int(used.sum())
            if count < 8:
                continue
            columns["k"].append(quotes.k[used])
            columns["strike"].append(board.strike[quotes.row[used]])
            columns["bid"].append(quotes.bid_vol[used])
            columns["ask"].append(quotes.ask_vol[used])
            slices.append((at, at + count, chain, float(years), float(forward)))
            at += count
    stored = {name: np.concatenate(parts) for name, parts in columns.items()}
    for name, values in zip(
        ("first", "last", "chain", "years", "forward"), zip(*slices, strict=True), strict=True
    ):
        stored[name] = np.array(values)
    np.savez(path, allow_pickle=False, **stored)


def collect(
    pairs: Sequence[tuple[Board, Board]], rounds: int, folder: Path, core: int | None
) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, dict[str, Any]], dict[str, str]]:
    """Milliseconds of each board cold and warm; one result for each peer; and who is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    ours, chains = folder / "boards.pickle", folder / "chains.npz"
    ours.write_bytes(pickle.dumps(pairs))
    _save_chains(pairs, chains)
    measured: dict[str, list[list[float]]] = {"cold": [], "warm": []}
    peers: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for turn in range(rounds):
        result = measure(WORKER, "ours", Path(sys.executable), ours, core)
        if isinstance(result, str):
            raise SystemExit(f"our own surface benchmark failed: {result}")
        for name, times in measured.items():
            times.append(result[name])
        for name in PEER_SURFACES if turn == 0 else ():
            python = environment(name, folder)
            found = python if isinstance(python, str) else measure(
                WORKER, name, python, chains, core
            )  # fmt: skip
            if isinstance(found, str):
                missing[name] = found
            else:
                peers[name] = found
    times = {name: np.median(np.array(values), axis=0) for name, values in measured.items()}
    return times, peers, missing


def first_surface_seconds(board: Board, rounds: int, folder: Path, core: int | None) -> float:
    """Seconds from the start of Python to the first surface, compiled code on disk; the median.

    The process reads the arrays of a board and fits it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "board.pickle"
    stored.write_bytes(pickle.dumps(replace(board)))  # a copy has not inverted its prices yet
    code = (
        "import pathlib, pickle, sys\n"
        "from vol_platform.quant.surface import calibrate\n"
        "calibrate(pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()))\n"
    )
    command = [sys.executable, "-c", code, str(stored)]
    if core is not None and shutil.which("taskset"):
        command = ["taskset", "-c", str(core), *command]
    # Python's own compiled code belongs on disk as well.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, cwd=REPOSITORY, env=variables)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))  # the first one may have had to compile


def main() -> None:
    """Measure and print."""
    pairs = boards()
    core = min(os.sched_getaffinity(0))
    folder = REPOSITORY / ".vol" / "bench"
    first = first_surface_seconds(pairs[0][0], 3, folder, core)
    print(f"first surface of a process: {first:.2f} s")
    times, peers, missing = collect(pairs, 4, folder, core)
    for name, values in times.items():
        print(
            f"{name} fit: median {np.median(values):.2f} ms, p99 {np.percentile(values, 99):.2f} ms"
            f" over {len(values)} boards"
        )
    for name, judged in quality(pairs).items():
        print(f"{name}: { {key: round(value, 4) for key, value in judged.items()} }")
    for name, result in peers.items():
        print(
            f"{name}: median {np.median(result['milliseconds']):.1f} ms,"
            f" {result['in_spread']:.1%} in spread"
        )
    for name, reason in missing.items():
        print(f"{name} missing: {reason}")


if __name__ == "__main__":
    main()

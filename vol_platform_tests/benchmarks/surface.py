"""The surface bar: milliseconds of a cold and a warm fit, and how good the fit is.

Recorded boards when they are there (see `vol_platform_tests.conftest.real_data`), else synthetic
ones.  A warm fit starts from the surface of the board a moment before: the forward has moved by a
basis point and a tenth of the quotes by a tick.  Times are CPU milliseconds of one thread, the best
of several for each board, then median and 99th percentile over the boards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant import black76, implied
from vol_platform.quant.surface import Board, Surface, calibrate, warm_up
from vol_platform.quant.validation import pool, validate_board
from vol_platform_tests.quant.boards import recorded_frame, synthetic_frame

_REPETITIONS = 5


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


def _best(call: Callable[[], Surface]) -> float:
    times = []
    for _ in range(_REPETITIONS):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return 1e3 * min(times)


def main() -> None:
    """Measure and print."""
    start = time.perf_counter()
    warm_up()
    print(f"first surface of this process: {time.perf_counter() - start:.2f} s")
    cold_times, warm_times, reports, later_reports = [], [], [], []
    for seed, frame in enumerate(_frames()):
        board = Board.from_frame(frame)
        surface = calibrate(board)
        reports.append(validate_board(board, surface))
        cold_times.append(_best(lambda b=board: calibrate(b)))
        later = Board.from_frame(_a_moment_later(frame, seed))
        later_reports.append(validate_board(later, calibrate(later, previous=surface)))
        warm_times.append(_best(lambda b=later, s=surface: calibrate(b, previous=s)))
    for name, times in (("cold", cold_times), ("warm", warm_times)):
        print(
            f"{name} fit: median {np.median(times):.2f} ms, p99 {np.percentile(times, 99):.2f} ms"
            f" over {len(times)} boards"
        )
    for name, judged in (("cold", reports), ("warm", later_reports)):
        figures = {key: round(value, 4) for key, value in pool(judged).items()}
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()

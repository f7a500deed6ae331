"""The compiled fit and checks do what their source says: the interpreter comes to the same result.

It also lets a coverage measurement see into these kernels, which compiled code hides.  The kernels
of single options stand on four machine instructions; the interpreter has the same from the C
library and from the bits of a float.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import math
import pkgutil
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from vol_platform import quant
from vol_platform.quant import (
    arbitrage,
    black76,
    forwards,
    greeks,
    implied,
    svi,
)
from vol_platform.quant._fit import chain
from vol_platform.quant._fit.calibrate import Calibration
from vol_platform.quant._fit.second_look import look_again
from vol_platform.quant._slices import KNOTS, derivatives, raw_to_row
from vol_platform.quant.surface import Board, Surface, SurfaceConfig, calibrate
from vol_platform_tests.quant.boards import SNAPSHOT, synthetic_frame

OPTIONS = tuple(
    f"vol_platform.quant._kernels.{name}" for name in ("black", "greeks", "vector_math")
)
"""Modules of the kernels of single options."""

_C = ctypes.CDLL(ctypes.util.find_library("m"))
_C.fma.restype = ctypes.c_double
_C.fma.argtypes = [ctypes.c_double] * 3


for _name in ("sqrt", "log", "exp"):
    getattr(_C, _name).restype = ctypes.c_double
    getattr(_C, _name).argtypes = [ctypes.c_double]
C_MATH = SimpleNamespace(**{**vars(math), "sqrt": _C.sqrt, "log": _C.log, "exp": _C.exp})
"""As compiled code has it: the root of a negative number is NaN, not an error."""


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _float(bits: int) -> np.float64:
    wrapped = (int(bits) + 2**63) % 2**64 - 2**63
    return np.float64(struct.unpack("<d", struct.pack("<q", wrapped))[0])


INSTRUCTIONS = {
    "fma": lambda a, b, c: np.float64(_C.fma(a, b, c)),
    "float_to_bits": _bits,
    "float_from_bits": _float,
    "prefer_wide_vectors": lambda: None,
}


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that puts the Python source of every kernel in its place.

    Those of single options stay compiled unless `options` says otherwise: they are slow.
    """

    def replace(*, options: bool = False) -> None:
        for found in pkgutil.walk_packages(quant.__path__, "vol_platform.quant."):
            module = importlib.import_module(found.name)
            if getattr(module, "math", None) is math:
                monkeypatch.setattr(module, "math", C_MATH)
            for name, value in list(vars(module).items()):
                source = getattr(value, "py_func", None)
                if source is None:
                    if options and name in INSTRUCTIONS:
                        monkeypatch.setattr(module, name, INSTRUCTIONS[name])
                elif options or source.__module__ not in OPTIONS:
                    monkeypatch.setattr(module, name, source)

    with np.errstate(all="ignore"):
        yield replace


def falling(k: np.ndarray, years: float) -> np.ndarray:
    """Return variance that shrinks with time, which no surface can follow."""
    return np.asarray(np.sqrt(0.01 * (0.03 / years) ** 1.5 / years + 0.2 * k * k))


def plain() -> pl.DataFrame:
    return synthetic_frame((2.0, 30.0), strikes=11, noise=0.5)


def thin() -> pl.DataFrame:
    """Expiries of 13, 5, 3 and 1 strikes, one-sided quotes, one without ticks or a forward."""
    parts = [
        synthetic_frame((day,), strikes=n)
        for day, n in ((1.0, 1), (9.0, 13), (20.0, 5), (40.0, 3), (80.0, 13))
    ]
    frame = pl.concat(parts).with_row_index()
    nothing = pl.lit(None, dtype=pl.Float64)
    last = SNAPSHOT + timedelta(days=80)
    return frame.with_columns(
        pl.when(pl.col("index") % 7 == 3).then(nothing).otherwise("bid_price").alias("bid_price"),
        pl.when(pl.col("index") % 11 == 4).then(nothing).otherwise("ask_price").alias("ask_price"),
        pl.when(pl.col("index") % 5 == 1).then(nothing).otherwise("tick_size").alias("tick_size"),
        pl.when(pl.col("index") % 9 == 2).then(pl.lit("bound")).otherwise("usage").alias("usage"),
        pl.when(pl.col("expiry_ts") == last).then(nothing).otherwise("forward").alias("forward"),
    )


def crossing() -> pl.DataFrame:
    return synthetic_frame((9.0, 20.0), vol=falling, strikes=9)


def between() -> pl.DataFrame:
    """Expiries of 3 and 1 strikes between, before and after two that can lend their shape."""
    parts = [
        synthetic_frame((day,), strikes=n)
        for day, n in ((1.0, 1), (2.0, 11), (9.0, 3), (30.0, 11), (80.0, 3))
    ]
    return pl.concat(parts)


@pytest.mark.parametrize("make", [plain, thin, between, crossing])
@pytest.mark.parametrize("residual", [True, False])
def test_the_interpreter_fits_the_same_surface(
    make: Callable[[], pl.DataFrame], residual: bool, interpreted: Callable[..., None]
) -> None:
    config = SurfaceConfig(residual=residual)
    compiled = calibrate(Board.from_frame(make()), config=config)
    interpreted()
    board = Board.from_frame(make())
    surface = calibrate(board, config=config)
    k = np.linspace(-0.3, 0.3, 7)
    years = board.expiry_years[surface.active][:, None]
    assert surface.active.tolist() == compiled.active.tolist()
    assert surface.total_variance(k, years) == pytest.approx(
        compiled.total_variance(k, years), rel=1e-4
    )
    assert arbitrage.check(surface).is_free


def test_the_interpreter_follows_a_warm_start(interpreted: Callable[..., None]) -> None:
    before = calibrate(Board.from_frame(plain()))
    moved = plain().with_columns(pl.col("bid_price") * 1.01, pl.col("ask_price") * 1.01)
    k = pl.col("strike") / pl.col("forward")
    narrow = moved.filter(k.is_between(0.85, 1.15))  # other knots
    boards = [moved, narrow]
    compiled = [calibrate(Board.from_frame(frame), previous=before).rows for frame in boards]
    interpreted()
    for frame, rows in zip(boards, compiled, strict=True):
        surface = calibrate(Board.from_frame(frame), previous=before)
        assert surface.rows == pytest.approx(rows, rel=1e-3, abs=1e-5)


def mad(seed: int) -> pl.DataFrame:
    """Quotes that no surface can follow."""
    frame = synthetic_frame((2.0, 9.0, 30.0), strikes=11)
    factor = pl.Series(np.exp(np.random.default_rng(seed).normal(0, 0.5, frame.height)))
    return frame.with_columns(pl.col("bid_price") * factor, pl.col("ask_price") * factor)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_interpreter_escalates_restarts_and_repairs_alike(
    seed: int, warm: bool, interpreted: Callable[..., None]
) -> None:
    config = SurfaceConfig(rounds=1)  # soon at its wit's end
    calm = Board.from_frame(synthetic_frame((2.0, 9.0, 30.0), strikes=11))
    previous = calibrate(calm) if warm else None
    compiled = calibrate(Board.from_frame(mad(seed)), previous=previous, config=config)
    interpreted()
    surface = calibrate(Board.from_frame(mad(seed)), previous=previous, config=config)
    assert arbitrage.check(surface).is_free
    repairs = [[item.status for item in one.report] for one in (surface, compiled)]
    assert repairs[0] == repairs[1], f"seed {seed}"


def test_the_interpreter_gives_the_same_error_bars(interpreted: Callable[..., None]) -> None:
    surface = calibrate(Board.from_frame(thin()))
    compiled = [part.vol_error for part in surface.report]
    interpreted()
    again = calibrate(Board.from_frame(thin()))
    assert [part.vol_error for part in again.report] == pytest.approx(
        compiled, rel=1e-3, nan_ok=True
    )


def test_the_interpreter_takes_a_second_look_alike(
    monkeypatch: pytest.MonkeyPatch, interpreted: Callable[..., None]
) -> None:
    kept: list[Calibration] = []
    monkeypatch.setattr(chain, "look_again", lambda state: kept.append(state) or state)
    calibrate(Board.from_frame(plain()))
    [found] = kept
    found.rows[1, 0] += 0.06 * derivatives(found.rows[1], 0.0)[0]  # outside its quotes
    compiled = look_again(found)
    assert compiled is not found
    interpreted()
    assert look_again(found).rows == pytest.approx(compiled.rows, rel=1e-3, abs=1e-5)


def test_the_interpreter_finds_the_same_forwards(interpreted: Callable[..., None]) -> None:
    strike = np.tile(np.array([90.0, 95.0, 100.0, 105.0]), 2)
    is_call = np.repeat([True, False], 4)
    bid = np.where(is_call, 0.05 - 0.004 * (strike - 90), 0.01 + 0.003 * (strike - 90))
    columns = (
        np.repeat([0, 1], 8), np.tile(strike, 2), np.tile(is_call, 2), np.tile(bid, 2),
        np.tile(bid, 2) + 0.002,
    )  # fmt: skip

    def estimates() -> str:
        return repr(
            forwards.implied_forwards(
                *columns,
                priors=np.array([104.0, np.nan, np.nan]),
                prior_sources=["future", "none", "none"],
                is_inverse=np.array([True, True, True]),
            )
        )

    compiled = estimates()
    interpreted()
    assert estimates() == compiled


def test_the_interpreter_gives_the_same_verdicts(interpreted: Callable[..., None]) -> None:
    generator = np.random.default_rng(4)
    rows = []
    for number in range(24):
        row = raw_to_row(
            generator.uniform(-0.02, 0.05), generator.uniform(0.02, 1.2),
            generator.uniform(-0.8, 0.8), generator.uniform(-0.2, 0.2),
            generator.uniform(0.02, 0.4),
        )  # fmt: skip
        if number % 2:
            row[5], row[6] = -0.4, 0.07
            row[7:] = 0.0005 * generator.standard_normal(KNOTS)
        rows.append(row)

    def verdicts() -> list[float]:
        from vol_platform.quant._no_arbitrage import exact

        found = [exact.butterfly_minimum(row)[1] for row in rows]
        return found + [exact.calendar_minimum(near, far)[1] for near, far in pairwise(rows)]

    compiled = verdicts()
    interpreted()
    assert verdicts() == pytest.approx(compiled, rel=1e-9, abs=1e-12)


def test_the_interpreter_reads_a_surface_alike(interpreted: Callable[..., None]) -> None:
    surface = calibrate(Board.from_frame(plain()))
    years = np.array([0.001, 2 / 365, 0.03, 0.5])
    deltas = np.array([0.25, -0.25, 0.1, 0.999999999, -1.2])

    def read(one: Surface) -> list[np.ndarray]:
        smiles = one.smiles(years)
        return [
            smiles.total_variance(np.tile(np.linspace(-1, 1, 5), (4, 1))),
            np.nan_to_num(smiles.delta_log_moneyness(deltas, premium_adjusted=True)),
            arbitrage.butterfly(np.linspace(-1, 1, 5), *one.report[0].raw),
        ]

    compiled = read(surface)
    interpreted()
    for ours, theirs in zip(read(surface), compiled, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_the_interpreter_fits_one_slice_alike(interpreted: Callable[..., None]) -> None:
    k = np.linspace(-0.3, 0.3, 9)
    vol = 0.5 - 0.2 * k + 0.4 * k * k
    compiled = svi.fit(k, vol - 0.01, vol + 0.01, 0.1)
    interpreted()
    assert tuple(svi.fit(k, vol - 0.01, vol + 0.01, 0.1)) == pytest.approx(compiled, rel=1e-4)


def options_of_every_kind() -> dict[str, np.ndarray]:
    """Ordinary ones, wings, one hour, enormous volatility, in the money, and every bad cell."""
    generator = np.random.default_rng(7)
    n = 150
    vol = generator.choice([0.05, 0.3, 0.8, 2.0, 9.0], n)
    years = generator.choice([1 / 8760, 0.02, 0.25, 2.0], n)
    score = generator.choice([0.0, 0.01, 1.0, 4.0, 12.0, 38.0], n) * generator.choice([-1, 1], n)
    strike = 100.0 * np.exp(np.clip(score * vol * np.sqrt(years), -20.0, 20.0))
    columns = {
        "forward": np.full(n, 100.0), "strike": strike, "expiry_years": years, "vol": vol,
        "is_call": generator.random(n) < 0.5,
    }  # fmt: skip
    bad = (np.nan, np.inf, -1.0, 0.0)
    for at, (name, value) in enumerate(
        (name, value) for name in ("forward", "strike", "expiry_years", "vol") for value in bad
    ):
        columns[name][3 * at] = value
    return columns


def test_the_interpreter_prices_and_differentiates_options_alike(
    interpreted: Callable[..., None],
) -> None:
    columns = options_of_every_kind()

    def values() -> list[np.ndarray]:
        return [
            black76.price(**columns), black76.price_coin(**columns), *greeks.greeks(**columns)
        ]  # fmt: skip

    compiled = values()
    interpreted(options=True)
    found = values()
    for ours, theirs in zip(found, compiled, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=0.0)


def test_the_interpreter_inverts_prices_alike(interpreted: Callable[..., None]) -> None:
    columns = options_of_every_kind()
    price = black76.price(**columns)
    price[::10] *= 1.5  # some above their maximum
    price[5::10] -= 1.0  # some below intrinsic
    at = [columns[name] for name in ("forward", "strike", "expiry_years", "is_call")]
    compiled = implied.implied_vol(price, *at), implied.implied_vol_coin(price / at[0], *at)
    interpreted(options=True)
    found = implied.implied_vol(price, *at), implied.implied_vol_coin(price / at[0], *at)
    for ours, theirs in zip(found, compiled, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize("model", ["ssvi", "essvi"])
def test_the_interpreter_fits_a_chain_alike(model: str, interpreted: Callable[..., None]) -> None:
    board = Board.from_frame(synthetic_frame((2.0, 30.0, 80.0), vol=falling, strikes=7))
    config = SurfaceConfig(model=model)
    compiled = calibrate(board, config=config).rows
    interpreted()
    assert calibrate(board, config=config).rows == pytest.approx(compiled, rel=1e-6)

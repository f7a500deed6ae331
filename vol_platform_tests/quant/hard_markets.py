"""Boards of markets that were not recorded: recorded and simulated ones, mistreated hard.

Every function takes the rows of a board as the exchange gives them (`boards.recorded_rows`) and a
generator, and returns other rows; `hard_frame` cleans them.  `MARKETS` names them all.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from vol_platform.quant import black76, implied, ssvi
from vol_platform.simulator.market.board import board_at
from vol_platform.simulator.market.market import Market
from vol_platform.simulator.market.quotes import option_quotes
from vol_platform_tests.quant.boards import cleaned

__all__ = ["MARKETS", "hard_frame", "simulated_rows"]

FloatArray = npt.NDArray[np.float64]
Change = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]

_SECONDS_PER_YEAR = 365.0 * 86_400.0
_NOTHING = pl.lit(None, dtype=pl.Float64)


def simulated_rows(seed: int, currency: str) -> pl.DataFrame:
    """Rows of a board of the simulated exchange, at a moment that the seed chooses."""
    generator = np.random.default_rng(seed)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    snapshot = start + timedelta(seconds=int(generator.integers(0, 300 * 86_400)))
    time_ms = int(snapshot.timestamp() * 1000)
    market = Market(seed, currency)
    board = board_at(market, time_ms)
    rows = np.arange(board.strike.size)
    quotes = option_quotes(market, board, rows, np.full(rows.size, time_ms))
    expiry_ms = board.expiry_ms[board.expiry_row]
    ladder = market.specification.ladder
    price = np.maximum(quotes.bid_price, quotes.ask_price)
    return pl.DataFrame(
        {
            "snapshot_ts": [snapshot] * rows.size,
            "currency": [currency] * rows.size,
            "expiry_ts": [datetime.fromtimestamp(at / 1000, UTC) for at in expiry_ms.tolist()],
            "strike": board.strike,
            "is_call": board.is_call,
            "is_inverse": [not market.is_linear] * rows.size,
            "bid_price": quotes.bid_price,
            "ask_price": quotes.ask_price,
            "prior": quotes.forward,
            "age_seconds": generator.exponential(5.0, rows.size),
            "expiry_years": (expiry_ms - time_ms) / (1000.0 * _SECONDS_PER_YEAR),
            "tick_size": ladder.step(price),
        }
    )


def _column(rows: pl.DataFrame, name: str) -> FloatArray:
    return rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _priced(
    rows: pl.DataFrame,
    *,
    forward: FloatArray | None = None,
    years: FloatArray | None = None,
    vol: Callable[[FloatArray, FloatArray], FloatArray] = lambda vol, _: vol,
) -> pl.DataFrame:
    """Quote every option again in whole ticks, at volatilities changed by `vol(side, mid)`."""
    prior, strike, tick = (_column(rows, name) for name in ("prior", "strike", "tick_size"))
    before = _column(rows, "expiry_years")
    is_call = rows["is_call"].to_numpy()
    later = prior if forward is None else forward
    left = before if years is None else years
    inverse = bool(rows["is_inverse"][0])
    found = {
        name: implied.implied_vol(
            _column(rows, name) * (prior if inverse else 1.0), prior, strike, before, is_call
        )
        for name in ("bid_price", "ask_price")
    }
    bid, ask = found.values()
    mid = np.where(np.isfinite(bid + ask), 0.5 * (bid + ask), np.where(np.isfinite(bid), bid, ask))
    sides = {}
    for name, rounded in (("bid_price", np.floor), ("ask_price", np.ceil)):
        value = black76.price(later, strike, left, vol(found[name], mid), is_call)
        value = rounded(value / (later if inverse else 1.0) / tick) * tick
        sides[name] = np.where(value > 0, value, np.nan)
    return rows.with_columns(
        pl.Series("bid_price", sides["bid_price"]),
        pl.Series("ask_price", sides["ask_price"]),
        pl.Series("prior", later),
        pl.Series("expiry_years", left),
        (
            pl.col("snapshot_ts")
            + pl.duration(microseconds=pl.Series((left * _SECONDS_PER_YEAR * 1e6).astype(np.int64)))
        ).alias("expiry_ts"),
    )


def as_it_is(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Change nothing: the yardstick."""
    return rows


def some_rows(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Keep a tenth to two thirds of the rows."""
    keep = generator.uniform(0.1, 0.65)
    return rows.filter(pl.Series(generator.random(rows.height) < keep))


def moved_by_ticks(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Move every bid and every ask by up to five ticks, of a share of the rows."""
    tick, share = _column(rows, "tick_size"), generator.uniform(0.05, 1.0)
    hit = generator.random(rows.height) < share
    sides = []
    for name in ("bid_price", "ask_price"):
        price = _column(rows, name) + hit * tick * generator.integers(-5, 6, rows.height)
        sides.append(pl.Series(name, np.where(price > 0, price, np.nan)))
    return rows.with_columns(sides)


def a_crash(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Volatilities of 150 to 300 % in front, a steep put skew, quotes several times as wide.

    The smiles are power-law SSVI, and forward variance falls from the short to the long level, so
    that the true surface is free of arbitrage.
    """
    years = np.maximum(_column(rows, "expiry_years"), 1e-6)
    short, long = generator.uniform(1.5, 3.0), generator.uniform(0.6, 1.0)
    tau, rho = generator.uniform(0.02, 0.3), generator.uniform(-0.6, -0.1)
    theta = long**2 * years + (short**2 - long**2) * tau * (1.0 - np.exp(-years / tau))
    k = np.log(_column(rows, "strike") / _column(rows, "prior"))
    phi = ssvi.power_law_phi(theta, generator.uniform(0.6, 0.98) * 2.0 / (1.0 - rho), 0.5)
    true = np.sqrt(ssvi.total_variance(k, theta, rho, phi) / years)
    wider = np.sqrt(theta / years) / 0.5 * generator.uniform(0.7, 1.5)
    noise = generator.uniform(-0.5, 0.5, rows.height)
    return _priced(
        rows,
        vol=lambda vol, mid: np.maximum(true + (vol - mid + noise * abs(vol - mid)) * wider, 0.05),
    )


def minutes_to_settlement(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Let the nearest expiry settle in seconds to two hours, at unchanged volatilities."""
    years = _column(rows, "expiry_years")
    left = np.exp(generator.uniform(np.log(60.0), np.log(7200.0))) / _SECONDS_PER_YEAR
    later = years[years > 0].min() - left
    return _priced(rows, years=np.maximum(years - later, 1.0 / _SECONDS_PER_YEAR))


def a_handful_each(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Leave one to six options of each expiry."""
    ranked = rows.with_columns(pl.Series("rank", generator.random(rows.height)))
    most = int(generator.integers(1, 7))
    return ranked.filter(pl.col("rank").rank().over("expiry_ts") <= most).drop("rank")


def one_wing(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Leave only puts' strikes of some expiries, only calls' of others."""
    k = np.log(_column(rows, "strike") / _column(rows, "prior"))
    side = {at: generator.integers(-1, 2) for at in rows["expiry_ts"].unique().sort()}
    of_row = np.array([side[at] for at in rows["expiry_ts"].to_list()])
    return rows.filter(pl.Series(of_row * k >= -0.005))


def wrong_priors(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Put the exchange's forwards up to 1 % off, each expiry for itself."""
    off = {at: generator.uniform(-0.01, 0.01) for at in rows["expiry_ts"].unique().sort()}
    of_row = np.array([off[at] for at in rows["expiry_ts"].to_list()])
    return rows.with_columns((pl.col("prior") * pl.Series(np.exp(of_row))).alias("prior"))


def torn(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Part of the rows is of another moment: forward off by up to 3 %, volatility by a fifth."""
    shift, factor = np.exp(generator.uniform(-0.03, 0.03)), generator.uniform(0.8, 1.25)
    prior = _column(rows, "prior")
    moved = _priced(rows, forward=prior * shift, vol=lambda vol, _: vol * factor)
    pick = pl.Series(generator.random(rows.height) < generator.uniform(0.05, 0.95))
    return rows.with_columns(
        pl.when(pick).then(moved[name]).otherwise(pl.col(name)).alias(name)
        for name in ("bid_price", "ask_price")
    )


def an_event(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Make volatilities jump from expiry to expiry: variance that falls with time."""
    jump = {at: generator.uniform(0.5, 1.8) for at in rows["expiry_ts"].unique().sort()}
    of_row = np.array([jump[at] for at in rows["expiry_ts"].to_list()])
    return _priced(rows, vol=lambda vol, _: np.clip(vol * of_row, 0.02, 6.0))


def one_sided(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Take away up to 70 % of the bids and up to 50 % of the asks."""
    no_bid = pl.Series(generator.random(rows.height) < generator.uniform(0.2, 0.7))
    no_ask = pl.Series(generator.random(rows.height) < generator.uniform(0.0, 0.5))
    return rows.with_columns(
        pl.when(no_bid).then(_NOTHING).otherwise(pl.col("bid_price")).alias("bid_price"),
        pl.when(no_ask).then(_NOTHING).otherwise(pl.col("ask_price")).alias("ask_price"),
    )


def very_calm(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Shrink every volatility to a tenth to a half."""
    factor = generator.uniform(0.1, 0.5)
    return _priced(rows, vol=lambda vol, _: np.maximum(vol * factor, 0.01))


def linear(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Quote the same board in USDC, in ticks of that market."""
    if not rows["is_inverse"][0]:
        return rows
    tick = 10.0 ** np.floor(np.log10(float(_column(rows, "prior")[0])) - 4.0) * 5.0
    usd = pl.col("prior") / tick
    return rows.with_columns(
        ((pl.col("bid_price") * usd).floor() * tick).alias("bid_price"),
        ((pl.col("ask_price") * usd).ceil() * tick).alias("ask_price"),
        pl.lit(tick).alias("tick_size"),
        pl.lit(value=False).alias("is_inverse"),
    )


def another_coin(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Scale forward and strikes to those of a coin worth a cent to a million."""
    factor = 10.0 ** generator.uniform(-6.5, 1.0)
    linear_rows = not rows["is_inverse"][0]
    scaled = ["strike", "prior"]
    scaled += ["bid_price", "ask_price", "tick_size"] if linear_rows else []
    return rows.with_columns(pl.col(name) * factor for name in scaled)


def mad_quotes(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Multiply a tenth of the quotes by a wild factor, and shuffle the prices of a few strikes."""
    factor = np.where(
        generator.random(rows.height) < 0.1, np.exp(generator.normal(0, 1.5, rows.height)), 1.0
    )
    order = np.arange(rows.height)
    few = np.flatnonzero(generator.random(rows.height) < 0.03)
    order[few] = generator.permutation(few)
    return rows.with_columns(
        (rows[name][order] * pl.Series(factor)).alias(name) for name in ("bid_price", "ask_price")
    )


_SINGLE: dict[str, Change] = {
    change.__name__: change
    for change in (
        as_it_is, some_rows, moved_by_ticks, a_crash, minutes_to_settlement, a_handful_each,
        one_wing, wrong_priors, torn, an_event, one_sided, very_calm, linear, another_coin,
        mad_quotes,
    )
}  # fmt: skip


def three_at_once(rows: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Three of the others, one after the other."""
    for name in generator.choice(sorted(_SINGLE), size=3, replace=False).tolist():
        if not rows.is_empty():
            rows = _SINGLE[name](rows, generator)
    return rows


def _forwards_off(frame: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """Use forwards up to 1 % off, whatever parity says."""
    off = {at: generator.uniform(-0.01, 0.01) for at in frame["expiry_ts"].unique().sort()}
    of_row = np.array([off[at] for at in frame["expiry_ts"].to_list()], dtype=np.float64)
    return frame.with_columns((pl.col("forward") * pl.Series(np.exp(of_row))).alias("forward"))


MARKETS = (*_SINGLE, "forwards_off", "three_at_once")


def hard_frame(rows: pl.DataFrame, market: str, seed: int) -> pl.DataFrame:
    """Clean rows of a board in one of `MARKETS`, as `Board.from_frame` takes them."""
    generator = np.random.default_rng(seed)
    if market == "forwards_off":
        return _forwards_off(cleaned(rows), generator)
    change = three_at_once if market == "three_at_once" else _SINGLE[market]
    return cleaned(change(rows, generator))

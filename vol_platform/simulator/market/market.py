"""The simulated market: index, basis and true surface as pure functions of the time.

Nothing is integrated step by step: each factor is lattice noise (`noise`), so the market at any
moment costs the same whether it is now or last year, and history and the live exchange agree by
construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vol_platform.errors import SettingsError
from vol_platform.simulator.market import noise
from vol_platform.simulator.market.expiries import YEAR_MS
from vol_platform.simulator.market.ladder import COIN_LADDER, Ladder
from vol_platform.simulator.market.surface import SurfaceParameters

__all__ = ["CURRENCIES", "Currency", "CurrencySpecification", "Market"]

Currency = Literal["BTC", "ETH", "BTC_USDC", "SOL_USDC"]

_SECONDS_PER_YEAR = YEAR_MS / 1000
_INDEX_OCTAVES = (-3, 22)
_SLOW_OCTAVES = (6, 21)
_SLOW_SCALE = 2.0 ** (-21 / 2)
"""Makes a slow factor's spread about one."""
_JUMP_BUCKET_MS = 12 * 3_600_000
_JUMP_BUCKETS = 20
_JUMP_PROBABILITY = 0.12
_JUMP_SIZE = 0.035
_JUMP_DECAY_MS = 3 * 86_400_000


@dataclass(frozen=True, slots=True)
class CurrencySpecification:
    """What differs between the currencies.

    Attributes
    ----------
    index_name
        Name of the price index, such as ``btc_usd``.
    anchor_price
        Price the index wanders about, USD.
    index_volatility
        Annualised volatility of the index path, a decimal.
    short_volatility, long_volatility
        At-the-money volatility the short and the long end wander about.
    strike_steps
        Strike spacing in USD for the last days, weeks, months and a year.
    minimum_amount
        Smallest option order, in coin.
    future_tick
        Tick of the futures, USD.
    ladder
        Steps of option prices, in the premium currency.
    """

    index_name: str
    anchor_price: float
    index_volatility: float
    short_volatility: float
    long_volatility: float
    strike_steps: tuple[float, float, float, float]
    minimum_amount: float
    future_tick: float
    ladder: Ladder = COIN_LADDER


CURRENCIES: dict[str, CurrencySpecification] = {
    "BTC": CurrencySpecification(
        "btc_usd", 76_000.0, 0.42, 0.42, 0.46, (500.0, 1000.0, 2000.0, 5000.0), 0.1, 0.5
    ),
    "ETH": CurrencySpecification(
        "eth_usd", 2_900.0, 0.60, 0.60, 0.64, (25.0, 50.0, 100.0, 200.0), 1.0, 0.05
    ),
    "BTC_USDC": CurrencySpecification(
        "btc_usdc",
        76_000.0,
        0.42,
        0.42,
        0.46,
        (500.0, 1000.0, 2000.0, 5000.0),
        0.1,
        0.5,
        Ladder(5.0, 5.0, 0.0),
    ),
    "SOL_USDC": CurrencySpecification(
        "sol_usdc",
        140.0,
        0.80,
        0.78,
        0.82,
        (2.5, 5.0, 10.0, 20.0),
        10.0,
        0.01,
        Ladder(0.1, 0.1, 0.0),
    ),
}


class Market:
    """One market's index, forward basis and true surface.

    A linear market (BTC_USDC) has the index and the surface of its coin; its premiums are USDC.

    Parameters
    ----------
    seed
        Same seed, same market.
    currency
        A key of `CURRENCIES`.
    """

    def __init__(self, seed: int, currency: str = "BTC") -> None:
        if currency not in CURRENCIES:
            known = ", ".join(CURRENCIES)
            msg = f"currency must be one of {known}, was {currency!r}"
            raise SettingsError(msg)
        self.seed = seed
        self.currency = currency
        self.specification = CURRENCIES[currency]
        self.coin, _, settlement = currency.partition("_")
        self.is_linear = bool(settlement)
        self.settlement = settlement or self.coin

    def _stream(self, factor: str) -> int:
        return noise.stream_of(f"{self.coin} {factor}")

    def _slow(self, factor: str, time_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        return _SLOW_SCALE * noise.fractal(self.seed, self._stream(factor), time_ms, *_SLOW_OCTAVES)

    def _jumps(self, time_ms: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the decaying sum of past jumps in log price, and that of their sizes."""
        stream = self._stream("jump")
        bucket = time_ms[None, :] // _JUMP_BUCKET_MS - np.arange(_JUMP_BUCKETS)[:, None]
        happens = noise.uniform(self.seed, stream, bucket) < _JUMP_PROBABILITY
        offset = noise.uniform(self.seed, stream + 1, bucket) * _JUMP_BUCKET_MS
        age = time_ms[None, :] - (bucket * _JUMP_BUCKET_MS + offset)
        size = _JUMP_SIZE * noise.normal(self.seed, stream + 2, bucket)
        weight = np.where(happens & (age >= 0), np.exp(-np.maximum(age, 0) / _JUMP_DECAY_MS), 0.0)
        return (weight * size).sum(axis=0), (weight * np.abs(size)).sum(axis=0)

    def _index_log(self, time_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        scale = self.specification.index_volatility / np.sqrt(_SECONDS_PER_YEAR)
        path = noise.fractal(self.seed, self._stream("index"), time_ms, *_INDEX_OCTAVES)
        return np.asarray(scale * path + self._jumps(time_ms)[0])

    def index_price(self, time_ms: ArrayLike) -> NDArray[np.float64]:
        """Return the price index in USD, rounded to cents as the exchange prints it."""
        moments = np.atleast_1d(np.asarray(time_ms, dtype=np.int64))
        price = self.specification.anchor_price * np.exp(self._index_log(moments))
        return np.asarray(np.round(price, 2))

    def basis_rate(self, time_ms: ArrayLike) -> NDArray[np.float64]:
        """Return the annualised carry of futures over the index, continuously compounded."""
        moments = np.atleast_1d(np.asarray(time_ms, dtype=np.int64))
        return np.asarray(0.055 + 0.035 * np.tanh(self._slow("basis", moments)))

    def surface(self, time_ms: ArrayLike) -> SurfaceParameters:
        """Return the true surface at each of the moments, shape (n,)."""
        moments = np.atleast_1d(np.asarray(time_ms, dtype=np.int64))
        specification = self.specification
        moved = self._index_log(moments)
        shock = self._jumps(moments)[1]
        short = specification.short_volatility * np.exp(
            0.30 * np.tanh(self._slow("short", moments)) - 0.8 * moved + 4.0 * shock
        )
        long = specification.long_volatility * np.exp(
            0.12 * np.tanh(self._slow("long", moments)) - 0.15 * moved + 0.6 * shock
        )
        rho = -0.16 + 0.16 * np.tanh(self._slow("rho", moments)) - 0.15 * np.tanh(8.0 * shock)
        eta = 1.05 + 0.15 * np.tanh(self._slow("eta", moments))
        return SurfaceParameters(short**2, long**2, rho, eta)

    def stress(self, time_ms: ArrayLike) -> NDArray[np.float64]:
        """Return 0 in a calm market to 1 in a crash; widens quotes."""
        short = np.sqrt(self.surface(time_ms).short_variance)
        calm = self.specification.short_volatility
        return np.asarray(np.clip(np.log(short / calm) / np.log(2.0), 0.0, 1.0))

    def true_volatility(
        self, time_ms: int, forward: ArrayLike, strike: ArrayLike, expiry_ms: ArrayLike
    ) -> NDArray[np.float64]:
        """Return the oracle: the volatility (decimal) every option is marked with.

        Parameters
        ----------
        time_ms
            The moment.
        forward
            Underlying price of the expiry as the exchange printed it, USD.
        strike
            USD.
        expiry_ms
            08:00 UTC of the expiry; must be later than `time_ms`.
        """
        years = (np.asarray(expiry_ms, dtype=np.int64) - time_ms) / YEAR_MS
        moneyness = np.log(np.asarray(strike, dtype=np.float64) / np.asarray(forward))
        return self.surface(time_ms).volatility(moneyness, years)

    def settlement_average(self, expiry_ms: int, time_ms: int) -> float:
        """Return the estimated delivery price, USD: the index averaged over the last half hour.

        The part of the window still to come counts at the index of `time_ms`.
        """
        start = expiry_ms - 1_800_000
        done = min(max(time_ms - start, 0), 1_800_000) // 10_000
        now = float(self.index_price(min(time_ms, expiry_ms))[0])
        if done == 0:
            return now
        past = _window_samples(self, expiry_ms)[:done]
        return round(float((past.sum() + now * (180 - done)) / 180), 2)


@lru_cache(maxsize=64)
def _window_samples(market: Market, expiry_ms: int) -> NDArray[np.float64]:
    moments = expiry_ms - 1_800_000 + 10_000 * np.arange(180)
    return market.index_price(moments)

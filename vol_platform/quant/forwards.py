"""Forwards: what put-call parity allows, what the exchange says, and how far they agree.

With ``C - P = F - K`` in USD (linear contracts) or ``C - P = 1 - K/F`` in coin (inverse
contracts), every strike with a quoted call and put confines the forward to an interval: buying the
call and selling the put must not cost less than the forward they replicate, nor the reverse earn
more.  The forward lies in the intersection; where torn quotes leave it empty, in the region that
satisfies most strikes.  The exchange's own underlying price is the prior: it is kept while parity
allows it and moved to the nearest allowed value, with an alarm, where not.

Source: C. Alexander and A. Imeraj (2021) for the inverse contracts; the interval form follows from
the two arbitrage trades at quoted prices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vol_platform.quant._kernels.parity import deepest_regions
from vol_platform.quant.errors import QuantError

__all__ = [
    "ForwardEstimate",
    "ParityIntervals",
    "annualised_basis",
    "implied_forward",
    "implied_forward_of_chain",
    "implied_forwards",
    "parity_intervals",
    "perpetual_basis",
    "synthetic_forward",
]

FloatArray = npt.NDArray[np.float64]

_ALARM_TOLERANCE = 0.5e-4
"""A prior this far (relative) outside the interval is rounding and timing, not an alarm."""


class ParityIntervals(NamedTuple):
    """Bounds of the forward in USD, one pair per strike; NaN where a side is missing."""

    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True, slots=True)
class ForwardEstimate:
    """The forward of one expiry and how well it is known.

    Attributes
    ----------
    forward
        USD; NaN when nothing is known.
    lower, upper
        The region that satisfies most put-call pairs, USD; NaN without pairs.
    exchange_forward
        The prior, USD; NaN when absent.
    source
        ``parity``, the name of the prior (``exchange``, ``future``, ``synthetic``), or ``none``.
    pairs
        Put-call pairs whose interval contains the region.
    uncertainty_basis_points
        Half width of the region in basis points of the forward; for a prior without pairs NaN.
    status
        ``ok``, ``alarm`` (the prior lies outside, or pairs contradict each other) or ``none``.
    reason
        Why the status is not ``ok``; empty when it is.
    """

    forward: float
    lower: float
    upper: float
    exchange_forward: float
    source: str
    pairs: int
    uncertainty_basis_points: float
    status: str
    reason: str


def parity_intervals(
    strike: npt.ArrayLike,
    call_bid: npt.ArrayLike,
    call_ask: npt.ArrayLike,
    put_bid: npt.ArrayLike,
    put_ask: npt.ArrayLike,
    *,
    is_inverse: bool = True,
) -> ParityIntervals:
    """Bounds that each call-put pair sets on the forward.

    Parameters
    ----------
    strike
        USD.
    call_bid, call_ask, put_bid, put_ask
        Premiums: in coin when `is_inverse`, else in USD; NaN or <= 0 is an absent side.
    is_inverse
        Premium in coin (True) or in USD (False).

    Returns
    -------
    ParityIntervals
        ``K/(1-(C_bid-P_ask)) .. K/(1-(C_ask-P_bid))`` or ``K+C_bid-P_ask .. K+C_ask-P_bid``.
        A bound that the quotes do not set is NaN.

    Examples
    --------
    >>> interval = parity_intervals(100.0, 0.10, 0.12, 0.05, 0.06)
    >>> round(float(interval.lower), 3), round(float(interval.upper), 3)
    (104.167, 107.527)
    """
    inputs = (
        np.asarray(values, dtype=np.float64)
        for values in (strike, call_bid, call_ask, put_bid, put_ask)
    )
    K, c_bid, c_ask, p_bid, p_ask = np.broadcast_arrays(*inputs)
    c_bid, c_ask, p_bid, p_ask = (
        np.where(side > 0, side, np.nan) for side in (c_bid, c_ask, p_bid, p_ask)
    )
    if not is_inverse:
        return ParityIntervals(K + c_bid - p_ask, K + c_ask - p_bid)
    with np.errstate(divide="ignore", invalid="ignore"):
        # 1 - (C - P) = K/F must be positive; a difference of a whole coin or more is a bad quote.
        low_room = 1.0 - (c_bid - p_ask)
        high_room = 1.0 - (c_ask - p_bid)
        lower = np.where(low_room > 0, K / low_room, np.nan)
        upper = np.where(high_room > 0, K / high_room, np.nan)
    return ParityIntervals(lower, upper)


def implied_forward(
    strike: npt.ArrayLike,
    call_bid: npt.ArrayLike,
    call_ask: npt.ArrayLike,
    put_bid: npt.ArrayLike,
    put_ask: npt.ArrayLike,
    *,
    prior: float = math.nan,
    prior_source: str = "exchange",
    is_inverse: bool = True,
) -> ForwardEstimate:
    """Forward of one expiry from its call-put pairs and a prior.

    Parameters
    ----------
    strike, call_bid, call_ask, put_bid, put_ask, is_inverse
        As in `parity_intervals`, one-dimensional.
    prior
        The exchange's forward in USD; NaN when there is none.
    prior_source
        Its name in the result when parity says nothing.

    Returns
    -------
    ForwardEstimate
        Never raises on bad quotes: they are left out, and `reason` says what went wrong.
    """
    pairs = parity_intervals(strike, call_bid, call_ask, put_bid, put_ask, is_inverse=is_inverse)
    keep = _is_usable(pairs)
    usable = ParityIntervals(pairs.lower[keep], pairs.upper[keep])
    return _estimates(np.array([0, keep.sum()]), usable, np.array([prior]), [prior_source])[0]


def _is_usable(pairs: ParityIntervals) -> npt.NDArray[np.bool_]:
    known = np.isfinite(pairs.lower) & np.isfinite(pairs.upper)
    return np.asarray(known & (pairs.lower > 0) & (pairs.lower <= pairs.upper))


def _estimates(
    offsets: npt.NDArray[np.int64],
    pairs: ParityIntervals,
    priors: FloatArray,
    prior_sources: Sequence[str],
) -> list[ForwardEstimate]:
    """Estimate the forward of every expiry; `pairs` are usable, those of expiry i a slice."""
    lows, highs, agreeing = deepest_regions(offsets, *pairs, priors)
    return [
        _estimate(*item)
        for item in zip(
            lows.tolist(),
            highs.tolist(),
            agreeing.tolist(),
            np.diff(offsets).tolist(),
            priors.tolist(),
            prior_sources,
            strict=True,
        )
    ]


def _estimate(
    low: float, high: float, agreeing: int, pairs: int, prior: float, prior_source: str
) -> ForwardEstimate:
    has_prior = math.isfinite(prior) and prior > 0
    nan = math.nan
    if not pairs:
        if not has_prior:
            reason = "no call-put pair and no prior"
            return ForwardEstimate(nan, nan, nan, prior, "none", 0, nan, "none", reason)
        return ForwardEstimate(prior, nan, nan, prior, prior_source, 0, nan, "ok", "")
    status, reason = "ok", ""
    if agreeing < pairs:
        # Two torn pairs in forty are everyday; only a contradiction of many is worth an alarm.
        reason = f"{pairs - agreeing} of {pairs} call-put pairs exclude the region"
        status = "alarm" if agreeing < 0.8 * pairs else "ok"
    if has_prior:
        forward = min(max(prior, low), high)
        distance = abs(forward / prior - 1.0)
        if distance > _ALARM_TOLERANCE:
            status = "alarm"
            reason = (
                f"prior {prior:.2f} USD is {distance * 1e4:.1f} basis points outside "
                f"the parity interval {low:.2f} .. {high:.2f} USD"
            )
        source = prior_source if forward == prior else "parity"
    else:
        forward, source = 0.5 * (low + high), "parity"
    uncertainty = 0.5e4 * (high - low) / forward
    return ForwardEstimate(forward, low, high, prior, source, agreeing, uncertainty, status, reason)


def implied_forward_of_chain(
    strike: npt.ArrayLike,
    is_call: npt.ArrayLike,
    bid_price: npt.ArrayLike,
    ask_price: npt.ArrayLike,
    *,
    prior: float = math.nan,
    prior_source: str = "exchange",
    is_inverse: bool = True,
) -> ForwardEstimate:
    """`implied_forward` from the rows of one expiry, one row per option, in any order.

    Parameters
    ----------
    strike, is_call, bid_price, ask_price
        One-dimensional and of one length; premiums as in `parity_intervals`.
    prior, prior_source, is_inverse
        As in `implied_forward`.
    """
    return implied_forwards(
        np.zeros(np.size(strike), dtype=np.int64), strike, is_call, bid_price, ask_price,
        priors=np.array([prior]), prior_sources=[prior_source], is_inverse=np.array([is_inverse]),
    )[0]  # fmt: skip


def implied_forwards(
    expiry: npt.ArrayLike,
    strike: npt.ArrayLike,
    is_call: npt.ArrayLike,
    bid_price: npt.ArrayLike,
    ask_price: npt.ArrayLike,
    *,
    priors: FloatArray,
    prior_sources: Sequence[str],
    is_inverse: npt.NDArray[np.bool_],
) -> list[ForwardEstimate]:
    """`implied_forward` of many expiries at once, which may belong to different snapshots.

    Parameters
    ----------
    expiry
        Number of the expiry of each option.
    strike, is_call, bid_price, ask_price
        One row per option, in any order; premiums as in `parity_intervals`.
    priors, prior_sources, is_inverse
        As in `implied_forward`, one per expiry.
    """
    number = np.asarray(expiry, dtype=np.int64)
    K, bid, ask = (
        np.asarray(values, dtype=np.float64) for values in (strike, bid_price, ask_price)
    )
    call = np.asarray(is_call, dtype=bool)
    order = np.lexsort((call, K, number))
    number, K, call = number[order], K[order], call[order]
    same_strike = (number[1:] == number[:-1]) & (K[1:] == K[:-1])
    first = np.ones(order.size, dtype=bool)
    first[1:] = ~(same_strike & (call[1:] == call[:-1]))
    kept = np.flatnonzero(first)
    put, following = kept[:-1], kept[1:]
    is_pair = (number[put] == number[following]) & (K[put] == K[following])
    put, following = put[is_pair], following[is_pair]
    of, strikes = number[put], K[put]
    quotes = [side[order[at]] for at in (following, put) for side in (bid, ask)]
    inverse = parity_intervals(strikes, *quotes, is_inverse=True)
    linear = parity_intervals(strikes, *quotes, is_inverse=False)
    pairs = ParityIntervals(
        *(
            np.where(is_inverse[of], of_coin, of_usd)
            for of_coin, of_usd in zip(inverse, linear, strict=True)
        )
    )
    keep = _is_usable(pairs)
    counts = np.bincount(of[keep], minlength=priors.size)
    offsets = np.append(0, np.cumsum(counts)).astype(np.int64)
    return _estimates(
        offsets, ParityIntervals(pairs.lower[keep], pairs.upper[keep]), priors, prior_sources
    )


def synthetic_forward(
    expiry_years: npt.ArrayLike,
    future_years: npt.ArrayLike,
    future_prices: npt.ArrayLike,
    spot: float = math.nan,
) -> FloatArray:
    """Interpolate forwards of expiries without a listed future, linear in time.

    Parameters
    ----------
    expiry_years
        Where the forward is wanted, ACT/365 years.
    future_years, future_prices
        Listed futures; prices in USD.  Rows with a NaN are left out.
    spot
        Index price in USD, the forward of expiry 0; NaN to do without.

    Returns
    -------
    ndarray
        USD, shape of `expiry_years`.  Beyond the last future the annualised basis of the last
        future is kept; without any future the spot; NaN when nothing is known.

    Raises
    ------
    QuantError
        `future_years` and `future_prices` differ in length.
    """
    years = np.asarray(expiry_years, dtype=np.float64)
    known_years = np.atleast_1d(np.asarray(future_years, dtype=np.float64))
    prices = np.atleast_1d(np.asarray(future_prices, dtype=np.float64))
    if known_years.shape != prices.shape:
        msg = (
            f"future_years and future_prices must have one length, were "
            f"{known_years.size} and {prices.size}"
        )
        raise QuantError(msg)
    keep = np.isfinite(known_years) & np.isfinite(prices) & (known_years > 0) & (prices > 0)
    known_years, prices = known_years[keep], prices[keep]
    if math.isfinite(spot) and spot > 0:
        known_years, prices = np.append(known_years, 0.0), np.append(prices, spot)
    if not known_years.size:
        return np.full(years.shape, np.nan)
    order = np.argsort(known_years, kind="stable")
    known_years, prices = known_years[order], prices[order]
    forward = np.interp(years, known_years, prices)
    if math.isfinite(spot) and spot > 0 and known_years[-1] > 0:
        rate = math.log(prices[-1] / spot) / known_years[-1]
        beyond = years > known_years[-1]
        forward = np.where(beyond, prices[-1] * np.exp(rate * (years - known_years[-1])), forward)
    return np.asarray(forward, dtype=np.float64)


def annualised_basis(
    forward: npt.ArrayLike, spot: npt.ArrayLike, expiry_years: npt.ArrayLike
) -> FloatArray:
    """``ln(forward / spot) / expiry_years``, decimal; NaN where an input is not positive.

    Parameters
    ----------
    forward, spot
        USD.
    expiry_years
        ACT/365.  All arguments broadcast.

    Returns
    -------
    ndarray
        The broadcast shape.
    """
    F, S, T = (np.asarray(values, dtype=np.float64) for values in (forward, spot, expiry_years))
    with np.errstate(divide="ignore", invalid="ignore"):
        basis = np.log(F / S) / T
    return np.where((F > 0) & (S > 0) & (T > 0), basis, np.nan)


def perpetual_basis(perpetual_price: npt.ArrayLike, index_price: npt.ArrayLike) -> FloatArray:
    """``perpetual / index - 1``, decimal; NaN where a price is not positive.

    Parameters
    ----------
    perpetual_price, index_price
        USD; the result has their broadcast shape.
    """
    perpetual, index = (
        np.asarray(values, dtype=np.float64) for values in (perpetual_price, index_price)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        basis = perpetual / index - 1.0
    return np.where((perpetual > 0) & (index > 0), basis, np.nan)

"""Which quotes may speak: every rule with the reason it gives.

A quote is *rejected* when it says nothing (no price, crossed, stale, in the settlement window), a
*bound* when only one of its sides is information (no bid, a bid of one tick, an ask several times
the bid), and *two_sided* otherwise.  Only two-sided quotes are fitted and counted; bounds keep the
curve below an ask or above a bid.  The rules that need a forward (out-of-the-money side, widest
spread in volatility) are applied by `vol_platform.quant.surface.Board`.

Marks and last prices are never used: the mark is the exchange's own smoothed fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["BOUND", "REJECTED", "TWO_SIDED", "Classification", "QuoteRules", "classify"]

TWO_SIDED = "two_sided"
BOUND = "bound"
REJECTED = "rejected"

_SECONDS_PER_YEAR = 365.0 * 86_400.0


@dataclass(frozen=True, slots=True)
class QuoteRules:
    """The limits of the quote rules.

    Attributes
    ----------
    minimum_bid_ticks
        A bid below this many ticks is no bid: it is the smallest price there is.
    maximum_ask_to_bid
        An ask above this multiple of the bid leaves the price undetermined.
    maximum_age_seconds
        Older quotes are stale.
    settlement_window_seconds
        An expiry this close to delivery settles on an average that has already begun.
    maximum_spread_vol
        Widest bid-ask, in volatility (decimal), of a quote that is fitted on both sides.
    maximum_spread_share
        The same as a share of the mid volatility, where that allows more: in a crash all is wider.
    age_scale_seconds
        Weight of a quote falls as ``exp(-lag / scale)``, lag being its age beyond that of the
        freshest quote of its expiry.
    vol_floor
        Smallest half spread, in volatility, that sets a weight.
    """

    minimum_bid_ticks: float = 1.0
    maximum_ask_to_bid: float = 6.0
    maximum_age_seconds: float = 60.0
    settlement_window_seconds: float = 1800.0
    maximum_spread_vol: float = 0.5
    maximum_spread_share: float = 0.5
    age_scale_seconds: float = 30.0
    vol_floor: float = 0.0015


class Classification(NamedTuple):
    """What each quote is good for; all arrays have the shape of the input.

    Attributes
    ----------
    usage
        ``two_sided``, ``bound`` or ``rejected``.
    reason
        Empty for a two-sided quote, else the name of the rule.
    detail
        The value that broke the rule, with its unit.
    """

    usage: npt.NDArray[np.object_]
    reason: npt.NDArray[np.object_]
    detail: npt.NDArray[np.object_]

    @property
    def retained_share(self) -> float:
        """Share of the quotes with both a bid and an ask that stay two-sided (NaN when none)."""
        both = (self.usage == TWO_SIDED) | np.isin(self.reason, ["small_bid", "wide"])
        count = int(both.sum())
        return float((self.usage == TWO_SIDED).sum() / count) if count else float("nan")


def classify(
    bid_price: npt.ArrayLike,
    ask_price: npt.ArrayLike,
    tick_size: npt.ArrayLike,
    age_seconds: npt.ArrayLike,
    expiry_years: npt.ArrayLike,
    rules: QuoteRules | None = None,
) -> Classification:
    """Apply the quote rules that need no forward.

    Parameters
    ----------
    bid_price, ask_price
        Premiums in any one unit; NaN or a value <= 0 is an absent side.
    tick_size
        Smallest price step, same unit; NaN when unknown (the tick rule is then left out).
    age_seconds
        Age of the quote at the snapshot.
    expiry_years
        ACT/365 years to delivery.
    rules
        Limits; the defaults are `QuoteRules()`.

    Returns
    -------
    Classification
        One usage, reason and detail per quote.
    """
    rules = rules or QuoteRules()
    columns = (
        np.asarray(values, dtype=np.float64)
        for values in (bid_price, ask_price, tick_size, age_seconds, expiry_years)
    )
    bid, ask, tick, age, years = np.broadcast_arrays(*columns)
    with np.errstate(invalid="ignore", divide="ignore"):
        has_bid = np.isfinite(bid) & (bid > 0)
        has_ask = np.isfinite(ask) & (ask > 0)
        both = has_bid & has_ask
        seconds_left = years * _SECONDS_PER_YEAR
        verdicts = (  # the first that applies wins
            ("unknown_time", REJECTED, ~np.isfinite(years), years, "years to expiry {:g}"),
            ("settlement", REJECTED, seconds_left <= rules.settlement_window_seconds, seconds_left,
             "{:.0f} s to delivery"),
            ("no_quote", REJECTED, ~(has_bid | has_ask), bid, "neither bid nor ask"),
            ("stale", REJECTED, ~(age <= rules.maximum_age_seconds), age, "age {:.1f} s"),
            ("crossed", REJECTED, both & (bid > ask), bid - ask, "bid above ask by {:g}"),
            ("locked", REJECTED, both & (bid == ask), bid, "bid equals ask at {:g}"),
            ("no_bid", BOUND, ~has_bid, ask, "ask {:g} only"),
            ("no_ask", BOUND, ~has_ask, bid, "bid {:g} only"),
            ("small_bid", BOUND, bid < rules.minimum_bid_ticks * tick * (1 - 1e-9), bid,
             "bid {:g} is under the smallest number of ticks"),
            ("wide", BOUND, ask > rules.maximum_ask_to_bid * bid * (1 + 1e-9), ask / bid,
             "ask is {:.1f} times the bid"),
        )  # fmt: skip
    usage = np.full(bid.shape, TWO_SIDED, dtype=object)
    reason = np.full(bid.shape, "", dtype=object)
    detail = np.full(bid.shape, "", dtype=object)
    for name, verdict, broken, value, text in verdicts:
        hit = broken & (reason == "")
        usage[hit] = verdict
        reason[hit] = name
        detail[hit] = [text.format(item) for item in value[hit]]
    return Classification(usage, reason, detail)

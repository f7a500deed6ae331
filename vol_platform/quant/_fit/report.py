"""What a calibration says about each expiry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from vol_platform.quant._board import Board
from vol_platform.quant._fit.chain import ChainFit
from vol_platform.quant._slices import row_to_raw, total_variance
from vol_platform.quant.svi import raw_to_jw

__all__ = ["FIT_SOURCES", "ExpiryReport", "build_report"]

FloatArray = npt.NDArray[np.float64]

FIT_SOURCES = ("svi", "svi_prior", "essvi", "shifted")


@dataclass(frozen=True, eq=False, slots=True)
class ExpiryReport:
    """One expiry of a surface; volatilities are decimals, NaN where undefined.

    Attributes
    ----------
    expiry_ts, expiry_years, forward
        Which expiry; forward in USD.
    row
        The slice row (see `_slices`); None when refused.
    model, fit_source
        ``svi``, ``essvi`` or ``ssvi``; and how the number of quotes let it be fitted.
    status, reason
        ``ok``, ``repaired``, ``thin`` or ``refused``, and why.
    raw, jw
        Raw SVI (a, b, rho, m, sigma) and SVI-JW (v, psi, p, c, v_tilde) of the hyperbola.
    atm_vol, vol_error
        Volatility at k = 0 and its standard error.
    rmse, max_error, in_spread_share
        Fit against mid, and share of the used two-sided quotes whose bid and ask contain it.
    retained_share
        Two-sided out-of-the-money quotes used, of all there were.
    quotes, one_sided_quotes
        How many of each were used.
    butterfly_free, calendar_free, wings_free, g_minimum
        Exact checks; the calendar one is against the next expiry.
    repaired_lambda
        Blend towards the arbitrage-free eSSVI chain: 0 none, 1 all.
    k_minimum, k_maximum
        Range of the two-sided quotes.
    oldest_quote_age_seconds, completeness
        Of the quotes used; the share of the expiry's rows that had a two-sided quote.
    """

    expiry_ts: datetime
    expiry_years: float
    forward: float
    row: FloatArray | None
    model: str
    fit_source: str
    status: str
    reason: str
    raw: tuple[float, float, float, float, float]
    jw: tuple[float, float, float, float, float]
    atm_vol: float
    vol_error: float
    rmse: float
    max_error: float
    in_spread_share: float
    retained_share: float
    quotes: int
    one_sided_quotes: int
    butterfly_free: bool
    calendar_free: bool
    wings_free: bool
    g_minimum: float
    repaired_lambda: float
    k_minimum: float
    k_maximum: float
    oldest_quote_age_seconds: float
    completeness: float


_NAN = math.nan
_NO_PARAMETERS = (_NAN,) * 5


def build_report(board: Board, fit: ChainFit, model: str) -> tuple[ExpiryReport, ...]:
    """One report per expiry of the board."""
    at_active = {int(i): j for j, i in enumerate(fit.active)}
    vol_errors = fit.at_money_error().tolist()
    return tuple(
        _expiry_report(board, fit, model, vol_errors, i, at_active.get(i))
        for i in range(len(board.expiry_ts))
    )


def _expiry_report(
    board: Board, fit: ChainFit, model: str, vol_errors: list[float], i: int, j: int | None
) -> ExpiryReport:
    quotes = board.fit_quotes
    part = slice(int(quotes.offsets[i]), int(quotes.offsets[i + 1]))
    used = quotes.kind[part] == 0
    k = quotes.k[part][used]
    count = int(used.sum())
    eligible = int(quotes.eligible[i])
    ages = board.age_seconds[quotes.row[part][used]]
    listed = slice(int(board.offsets[i]), int(board.offsets[i + 1]))
    years = float(board.expiry_years[i])
    if j is None:
        row, status, reason, source = None, "refused", fit.refusal[i], "none"
        raw, jw = _NO_PARAMETERS, _NO_PARAMETERS
        atm_vol = vol_error = rmse = worst = share = g_minimum = repaired = _NAN
        butterfly = calendar = wings = False
    else:
        row = fit.rows[j]
        raw = row_to_raw(row)
        jw = raw_to_jw(*raw, expiry_years=years)
        atm_vol = math.sqrt(total_variance(row, np.zeros(1))[0] / years)
        vol_error = vol_errors[j]
        vols = np.sqrt(total_variance(row, np.ascontiguousarray(k)) / years)
        error = np.abs(vols - quotes.mid[part][used])
        inside = (vols >= quotes.bid_vol[part][used]) & (vols <= quotes.ask_vol[part][used])
        rmse, worst = float(np.sqrt(np.mean(error**2))), float(error.max())
        share = float(inside.mean())
        g_minimum, repaired = float(fit.g_minimum[j]), float(fit.repaired_lambda[j])
        butterfly, calendar = g_minimum >= 0, bool(fit.gap_minimum[j] >= 0)
        wings = bool(0 <= row[1] < 2 and 0 <= row[2] < 2)
        source = FIT_SOURCES[int(fit.thin[j])]
        status, reason = "ok", ""
        if source != "svi":
            status = "thin"
            puts = int((k < 0).sum())
            reason = f"{puts} put and {count - puts} call quotes with both sides"
        if repaired > 0:
            status = "repaired"
            reason = f"blended by {repaired:g} towards the arbitrage-free eSSVI chain"
    return ExpiryReport(
        expiry_ts=board.expiry_ts[i],
        expiry_years=years,
        forward=float(board.forward[i]),
        row=row,
        model=model if row is not None else "",
        fit_source=source,
        status=status,
        reason=reason,
        raw=raw,
        jw=jw,
        atm_vol=atm_vol,
        vol_error=vol_error,
        rmse=rmse,
        max_error=worst,
        in_spread_share=share,
        retained_share=count / eligible if eligible else _NAN,
        quotes=count,
        one_sided_quotes=int((~used).sum()),
        butterfly_free=butterfly,
        calendar_free=calendar,
        wings_free=wings,
        g_minimum=g_minimum,
        repaired_lambda=repaired,
        k_minimum=float(k.min()) if count else _NAN,
        k_maximum=float(k.max()) if count else _NAN,
        oldest_quote_age_seconds=float(ages.max()) if count else _NAN,
        completeness=float((board.usage[listed] == 0).mean())
        if listed.stop > listed.start
        else 0.0,
    )

"""The forward curve: put–call parity of the quotes, with what the exchange says as the prior."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT, DerivationContext, Frames
from vol_platform.derivations.quotes.cleaning import expiry_years
from vol_platform.quant import forwards

__all__ = ["FORWARD_COLUMNS", "forward_curve"]

FORWARD_COLUMNS = {
    "snapshot_ts": INSTANT,
    "currency": pl.String(),
    "expiry_ts": INSTANT,
    "expiry_years": pl.Float64(),
    "forward": pl.Float64(),
    "forward_lower": pl.Float64(),
    "forward_upper": pl.Float64(),
    "exchange_forward": pl.Float64(),
    "forward_source": pl.String(),
    "pairs": pl.UInt32(),
    "uncertainty_basis_points": pl.Float64(),
    "basis_annualised": pl.Float64(),
    "index_price": pl.Float64(),
    "status": pl.String(),
    "reason": pl.String(),
}

_EXPIRY = ["snapshot_ts", "currency", "expiry_ts"]


def _priors(frames: Frames) -> pl.DataFrame:
    """One row per snapshot, market and expiry with everything that may serve as a prior."""
    chain = frames["chain"].filter(pl.col("expiry_ts") > pl.col("snapshot_ts"))
    exchange = (
        chain.sort("exchange_ts", "instrument_name")
        .group_by(_EXPIRY, maintain_order=True)
        # The rows of one expiry may differ by a tick: the board is not read in one instant.
        .agg(
            exchange_forward=pl.col("underlying_price").drop_nulls().median(),
            is_inverse=pl.col("is_inverse").drop_nulls().first(),
        )
    )
    listed = (
        frames["futures"]
        .filter(pl.col("expiry_ts").is_not_null())
        .sort("instrument_name")
        .group_by(_EXPIRY, maintain_order=True)
        .agg(future_price=pl.col("mark_price").drop_nulls().first())
    )
    return (
        exchange.join(listed, on=_EXPIRY, how="left")
        .join(
            frames["index"].rename({"price": "index_price"}),
            on=["snapshot_ts", "currency"],
            how="left",
        )
        .with_columns(expiry_years=expiry_years())
        .sort(_EXPIRY)
    )


def _synthetic(priors: pl.DataFrame, futures: pl.DataFrame) -> pl.Series:
    """Interpolate between the listed futures, for expiries without a price of their own."""
    curves = {
        key: (group["years"].to_numpy(), group["mark_price"].to_numpy())
        for key, group in futures.filter(
            pl.col("expiry_ts").is_not_null(), pl.col("mark_price").is_not_null()
        )
        .with_columns(years=expiry_years())
        .group_by("snapshot_ts", "currency")
    }
    empty = (np.empty(0), np.empty(0))
    values = []
    for moment, currency, years, spot in priors.select(
        "snapshot_ts", "currency", "expiry_years", "index_price"
    ).iter_rows():
        known_years, known_prices = curves.get((moment, currency), empty)
        spot = math.nan if spot is None else spot
        values.append(float(forwards.synthetic_forward(years, known_years, known_prices, spot)))
    return pl.Series(values, dtype=pl.Float64)


def forward_curve(frames: Frames, context: DerivationContext) -> pl.DataFrame:  # noqa: ARG001 - one signature for every derivation
    """Return one forward per snapshot, market and listed expiry.

    The prior is the exchange's underlying price, else the future of the expiry, else the line
    between futures, else the index; `vol_platform.quant.forwards.implied_forward` moves it no
    further than put–call parity demands.

    Parameters
    ----------
    frames
        ``chain``, ``futures``, ``index``, ``quotes_clean``.
    context
        Not used.

    Returns
    -------
    polars.DataFrame
        `FORWARD_COLUMNS`; an expiry about which nothing is known has status ``none``.
    """
    priors = _priors(frames)
    priors = priors.with_columns(synthetic_price=_synthetic(priors, frames["futures"]))
    quotes = frames["quotes_clean"].filter(
        pl.col("bid_price").is_not_null() | pl.col("ask_price").is_not_null()
    )
    by_expiry = {
        key: group.select("strike", "is_call", "bid_price", "ask_price")
        for key, group in quotes.group_by(_EXPIRY)
    }
    rows = []
    for row in priors.iter_rows(named=True):
        prior, source = _best_prior(row)
        group = by_expiry.get((row["snapshot_ts"], row["currency"], row["expiry_ts"]))
        columns = (
            (np.empty(0), np.empty(0, dtype=bool), np.empty(0), np.empty(0))
            if group is None
            else (
                group["strike"].to_numpy(),
                group["is_call"].to_numpy(),
                group["bid_price"].fill_null(np.nan).to_numpy(),
                group["ask_price"].fill_null(np.nan).to_numpy(),
            )
        )
        estimate = forwards.implied_forward_of_chain(
            *columns, prior=prior, prior_source=source, is_inverse=bool(row["is_inverse"])
        )
        rows.append(
            (
                estimate.forward,
                estimate.lower,
                estimate.upper,
                estimate.source,
                estimate.pairs,
                estimate.uncertainty_basis_points,
                estimate.status,
                estimate.reason,
            )
        )
    names = [
        "forward",
        "forward_lower",
        "forward_upper",
        "forward_source",
        "pairs",
        "uncertainty_basis_points",
        "status",
        "reason",
    ]
    estimates = pl.DataFrame(
        rows, schema={name: FORWARD_COLUMNS[name] for name in names}, orient="row"
    )
    curve = pl.concat([priors, estimates], how="horizontal")
    return curve.with_columns(
        basis_annualised=pl.Series(
            forwards.annualised_basis(
                curve["forward"].to_numpy(),
                curve["index_price"].fill_null(np.nan).to_numpy(),
                curve["expiry_years"].to_numpy(),
            )
        )
    )


def _best_prior(row: dict[str, float | None]) -> tuple[float, str]:
    for column, source in (
        ("exchange_forward", "exchange"),
        ("future_price", "future"),
        ("synthetic_price", "synthetic"),
    ):
        value = row[column]
        if value is not None and math.isfinite(value) and value > 0:
            return value, source
    return math.nan, "none"

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


def _synthetic(priors: pl.DataFrame, futures: pl.DataFrame) -> list[float]:
    """Interpolate between the listed futures, for expiries without a price of their own."""
    curves = {
        key: (group["years"].to_numpy(), group["mark_price"].to_numpy())
        for key, group in futures.filter(
            pl.col("expiry_ts").is_not_null(), pl.col("mark_price").is_not_null()
        )
        .with_columns(years=expiry_years())
        .join(priors.select("snapshot_ts", "currency"), on=["snapshot_ts", "currency"], how="semi")
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
    return values


def _with_prior(priors: pl.DataFrame, futures: pl.DataFrame) -> pl.DataFrame:
    """Add the best prior of every expiry and its name: NaN and ``none`` where there is none."""
    sources = {"exchange": "exchange_forward", "future": "future_price"}
    usable = {name: _usable(pl.col(column)) for name, column in sources.items()}
    priors = priors.with_row_index("expiry")
    without = priors.filter(~pl.any_horizontal(usable.values()))
    synthetic = without.select(
        "expiry", synthetic_price=pl.Series(_synthetic(without, futures), dtype=pl.Float64)
    )
    priors = priors.join(synthetic, on="expiry", how="left", maintain_order="left")
    sources["synthetic"], usable["synthetic"] = (
        "synthetic_price",
        _usable(pl.col("synthetic_price")),
    )
    prior, prior_source = pl.lit(math.nan), pl.lit("none")
    for name, column in reversed(sources.items()):
        prior = pl.when(usable[name]).then(column).otherwise(prior)
        prior_source = pl.when(usable[name]).then(pl.lit(name)).otherwise(prior_source)
    return priors.with_columns(prior=prior, prior_source=prior_source)


def _usable(price: pl.Expr) -> pl.Expr:
    return (price.is_finite() & (price > 0)).fill_null(value=False)


def forward_curve(frames: Frames, context: DerivationContext) -> pl.DataFrame:
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
    priors = _with_prior(_priors(frames), frames["futures"])
    quotes = (
        frames["quotes_clean"]
        .filter(pl.col("bid_price").is_not_null() | pl.col("ask_price").is_not_null())
        .join(priors.select(*_EXPIRY, "expiry"), on=_EXPIRY, maintain_order="left")
    )
    bid, ask = (quotes[name].fill_null(math.nan).to_numpy() for name in ("bid_price", "ask_price"))
    estimates = forwards.implied_forwards(
        quotes["expiry"].to_numpy(),
        quotes["strike"].to_numpy(),
        quotes["is_call"].to_numpy(),
        bid,
        ask,
        priors=priors["prior"].to_numpy(),
        prior_sources=priors["prior_source"].to_list(),
        is_inverse=priors["is_inverse"].fill_null(value=False).to_numpy(),
    )
    of_estimate = {
        "forward": "forward",
        "forward_lower": "lower",
        "forward_upper": "upper",
        "forward_source": "source",
        "pairs": "pairs",
        "uncertainty_basis_points": "uncertainty_basis_points",
        "status": "status",
        "reason": "reason",
    }
    curve = priors.with_columns(
        pl.Series(name, [getattr(one, field) for one in estimates], FORWARD_COLUMNS[name])
        for name, field in of_estimate.items()
    )
    return curve.with_columns(
        basis_annualised=pl.Series(
            forwards.annualised_basis(
                curve["forward"].to_numpy(),
                curve["index_price"].fill_null(np.nan).to_numpy(),
                curve["expiry_years"].to_numpy(),
            )
        )
    )

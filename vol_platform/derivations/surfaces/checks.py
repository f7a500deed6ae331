"""Rules on the surfaces of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import (
    Check,
    CheckOutcome,
    DerivationContext,
    Frames,
    as_float,
)

__all__ = ["SURFACE_CHECKS", "SURFACE_GRID_CHECKS"]

_SAMPLE_ROWS = 10
_EXPIRY = ["snapshot_ts", "currency", "expiry_ts"]
_MAXIMUM_RMSE = 0.05
_MINIMUM_IN_SPREAD = 0.90
_VOL_JUMP = 0.10
_FORWARD_JUMP = 0.05
_MINIMUM_COMPLETENESS = 0.5
_ONE_IN = 20
"""The last hours of an expiry are quoted vol points wide; one row in twenty may be off."""


def _fitted(frames: Frames) -> pl.DataFrame:
    return frames["surfaces"].filter(pl.col("status") != "refused")


def _flagged(frames: Frames, flag: str) -> CheckOutcome:
    fitted = _fitted(frames)
    wrong = fitted.filter(~pl.col(flag))
    return CheckOutcome(
        failed=wrong.height,
        examined=fitted.height,
        numbers={
            "smallest_g": as_float(fitted["g_minimum"].min()),
            "repaired_expiries": float((fitted["repaired_lambda"] > 0).sum()),
        },
        sample=wrong.select(*_EXPIRY, "fit_source", "status", "g_minimum", "repaired_lambda").head(
            _SAMPLE_ROWS
        ),
    )


def butterfly_free(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find fitted expiries with a negative density."""
    return _flagged(frames, "butterfly_free")


def calendar_free(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find fitted expiries whose total variance crosses that of the next."""
    return _flagged(frames, "calendar_free")


def wings_free(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find fitted expiries with a wing steeper than Lee's bound."""
    return _flagged(frames, "wings_free")


def fit_error(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find fitted expiries that are far from the mid of their quotes."""
    fitted = _fitted(frames).filter(pl.col("rmse").is_not_null())
    wrong = fitted.filter(pl.col("rmse") > _MAXIMUM_RMSE)
    return CheckOutcome(
        failed=wrong.height,
        examined=fitted.height,
        numbers={
            "limit_vol": _MAXIMUM_RMSE,
            "median_rmse_vol": as_float(fitted["rmse"].median()),
            "largest_rmse_vol": as_float(fitted["rmse"].max()),
        },
        sample=wrong.sort("rmse", descending=True)
        .select(*_EXPIRY, "rmse", "max_error", "quotes", "status", "reason")
        .head(_SAMPLE_ROWS),
        tolerated=fitted.height // _ONE_IN,
    )


def within_spread(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find snapshots in which too few quotes contain the fit."""
    quotes = pl.col("quotes")
    snapshots = (
        _fitted(frames)
        .filter(pl.col("in_spread_share").is_not_null(), quotes > 0)
        .group_by("snapshot_ts", "currency")
        .agg(
            in_spread_share=(pl.col("in_spread_share") * quotes).sum() / quotes.sum(),
            quotes=quotes.sum(),
        )
        .sort("in_spread_share", "snapshot_ts", "currency")
    )
    wrong = snapshots.filter(pl.col("in_spread_share") < _MINIMUM_IN_SPREAD)
    total = snapshots["quotes"].sum()
    inside = (snapshots["in_spread_share"] * snapshots["quotes"]).sum()
    return CheckOutcome(
        failed=wrong.height,
        examined=snapshots.height,
        numbers={
            "limit_share": _MINIMUM_IN_SPREAD,
            "pooled_share": as_float(inside) / as_float(total) if total else float("nan"),
        },
        sample=wrong.head(_SAMPLE_ROWS),
        tolerated=snapshots.height // _ONE_IN,
    )


def every_expiry_answered(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find listed expiries without a row, fits that are not numbers, refusals without a reason."""
    rows = frames["surfaces"]
    missing = frames["forward_curve"].join(rows, on=_EXPIRY, how="anti").select(_EXPIRY)
    usable = (
        pl.col("forward").is_finite() & pl.col("atm_vol").is_finite() & (pl.col("atm_vol") > 0)
    ).fill_null(value=False)
    refused = pl.col("status") == "refused"
    broken = rows.filter((~refused & ~usable) | (refused & (pl.col("reason") == "")))
    wrong = pl.concat([missing, broken.select(_EXPIRY)])
    return CheckOutcome(
        failed=wrong.height,
        examined=frames["forward_curve"].height,
        numbers={
            "fitted": float(rows.filter(~refused).height),
            "refused": float(rows.filter(refused).height),
        },
        sample=wrong.head(_SAMPLE_ROWS),
    )


def parameter_jumps(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find expiries that jump from one minute to the next while a day or more is left to live."""
    rows = (
        _fitted(frames)
        .filter(pl.col("expiry_years") > 1 / 365)
        .sort("currency", "expiry_ts", "snapshot_ts")
        .with_columns(
            vol_change=pl.col("atm_vol").diff().over("currency", "expiry_ts").abs(),
            forward_change=(pl.col("forward").log().diff()).over("currency", "expiry_ts").abs(),
        )
    )
    wrong = rows.filter(
        (pl.col("vol_change") > _VOL_JUMP) | (pl.col("forward_change") > _FORWARD_JUMP)
    )
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        numbers={
            "largest_vol_change": as_float(rows["vol_change"].max()),
            "largest_forward_change": as_float(rows["forward_change"].max()),
        },
        sample=wrong.select(*_EXPIRY, "atm_vol", "vol_change", "forward_change", "status").head(
            _SAMPLE_ROWS
        ),
        tolerated=rows.height // 200,
    )


def enough_quotes_fresh(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find expiries of which fewer than half of the listed options had a young quote."""
    rows = frames["surfaces"].filter(pl.col("completeness").is_not_null())
    wrong = rows.filter(pl.col("completeness") < _MINIMUM_COMPLETENESS)
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        numbers={
            "limit_share": _MINIMUM_COMPLETENESS,
            "mean_completeness": as_float(rows["completeness"].mean()),
            "smallest_completeness": as_float(rows["completeness"].min()),
        },
        sample=wrong.select(*_EXPIRY, "completeness", "quotes", "status").head(_SAMPLE_ROWS),
        tolerated=rows.height // _ONE_IN,
    )


def grid_variance_increases(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find grid points whose total variance is below that of a shorter maturity at the same k."""
    grid = frames["surface_grid"].filter(
        pl.col("axis") == "log_moneyness", pl.col("total_variance").is_not_null()
    )
    steps = grid.sort("snapshot_ts", "currency", "coordinate", "expiry_years").with_columns(
        before=pl.col("total_variance").shift(1).over("snapshot_ts", "currency", "coordinate")
    )
    wrong = steps.filter(pl.col("total_variance") < pl.col("before") * (1 - 1e-9))
    return CheckOutcome(
        failed=wrong.height,
        examined=grid.height,
        sample=wrong.select(
            "snapshot_ts", "currency", "expiry_years", "coordinate", "total_variance", "before"
        ).head(_SAMPLE_ROWS),
    )


_SURFACES = ("surfaces",)

SURFACE_CHECKS = (
    Check(
        "every_expiry_answered",
        "Every listed expiry has a fit of finite numbers, or a refusal with a reason.",
        ("surfaces", "forward_curve"),
        every_expiry_answered,
        blocking=True,
    ),
    Check(
        "butterfly_free",
        "No fitted expiry allows butterfly arbitrage (exact check).",
        _SURFACES,
        butterfly_free,
    ),
    Check(
        "calendar_free",
        "No fitted expiry allows calendar arbitrage against the next (exact check).",
        _SURFACES,
        calendar_free,
    ),
    Check(
        "wings_free",
        "The wings of every fitted expiry grow no faster than Lee's bound.",
        _SURFACES,
        wings_free,
    ),
    Check(
        "fit_error",
        f"The fit is within {_MAXIMUM_RMSE:g} of the mid volatility (root mean square).",
        _SURFACES,
        fit_error,
    ),
    Check(
        "within_spread",
        f"At least {_MINIMUM_IN_SPREAD:.0%} of a snapshot's quotes contain the fit.",
        _SURFACES,
        within_spread,
    ),
    Check(
        "parameter_jumps",
        f"No expiry moves by more than {_VOL_JUMP:g} of volatility or {_FORWARD_JUMP:.0%} of its "
        "forward within a minute.",
        _SURFACES,
        parameter_jumps,
    ),
    Check(
        "enough_quotes_fresh",
        f"At least {_MINIMUM_COMPLETENESS:.0%} of the listed options of an expiry are quoted.",
        _SURFACES,
        enough_quotes_fresh,
    ),
)

SURFACE_GRID_CHECKS = (
    Check(
        "grid_variance_increases",
        "Total variance never falls with maturity at fixed log-moneyness.",
        ("surface_grid",),
        grid_variance_increases,
    ),
)

"""Rules on the greeks of an hour."""

from __future__ import annotations

import polars as pl

from vol_platform.derivations.contracts import Check, CheckOutcome, DerivationContext, Frames

__all__ = ["GREEKS_CHECKS"]

_SAMPLE_ROWS = 10
_KEY = ["snapshot_ts", "currency", "instrument_name"]
_ROUNDING = 1e-12


def greeks_within_bounds(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find options whose delta has the wrong sign or size, or whose gamma or vega is negative."""
    rows = frames["options_greeks"].filter(pl.col("delta").is_not_null())
    signed = pl.when(pl.col("is_call")).then(pl.col("delta")).otherwise(-pl.col("delta"))
    wrong = rows.filter(
        (signed < -_ROUNDING)
        | (signed > 1 + _ROUNDING)
        | (pl.col("gamma") < 0)
        | (pl.col("vega") < 0)
    )
    return CheckOutcome(
        failed=wrong.height,
        examined=rows.height,
        sample=wrong.select(*_KEY, "vol", "delta", "gamma", "vega").head(_SAMPLE_ROWS),
    )


def every_listed_option_priced(frames: Frames, context: DerivationContext) -> CheckOutcome:
    """Find listed options without a row, or without greeks although their expiry has a fit."""
    rows = frames["options_greeks"]
    listed = frames["chain"].filter(pl.col("expiry_ts") > pl.col("snapshot_ts"))
    missing = listed.join(rows, on=_KEY, how="anti").select(_KEY)
    empty = rows.filter(pl.col("vol_source") == "surface", pl.col("delta").is_null()).select(_KEY)
    wrong = pl.concat([missing, empty])
    sources = rows["vol_source"].value_counts().sort("vol_source")
    return CheckOutcome(
        failed=wrong.height,
        examined=listed.height,
        numbers={f"vol_from_{source}": float(count) for source, count in sources.iter_rows()},
        sample=wrong.head(_SAMPLE_ROWS),
    )


GREEKS_CHECKS = (
    Check(
        "greeks_within_bounds",
        "Deltas lie between 0 and 1 (calls) or -1 and 0 (puts); gamma and vega are not negative.",
        ("options_greeks",),
        greeks_within_bounds,
        blocking=True,
    ),
    Check(
        "every_listed_option_priced",
        "Every listed option has a row, and greeks where its expiry has a fit.",
        ("options_greeks", "chain"),
        every_listed_option_priced,
    ),
)

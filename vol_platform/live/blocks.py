"""Computations as rows of `live_surfaces`, `live_greeks` and `live_metrics`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import polars as pl

from vol_platform.derivations.registry import by_name
from vol_platform.live.engine import Computation

__all__ = ["CONSTANT_MATURITY_DAYS", "live_blocks", "surface_metrics"]

CONSTANT_MATURITY_DAYS = (7, 14, 30, 60, 90, 180, 365)

_SKEWS = ("risk_reversal_25", "butterfly_25", "risk_reversal_10", "butterfly_10")


def surface_metrics(computation: Computation) -> dict[str, float]:
    """Return the headline numbers of a computation, by name of the metric.

    ``atm_vol_30d``, ``risk_reversal_25_30d`` … per constant maturity that the surface spans, and
    the number of expiries by status.
    """
    metrics: dict[str, float] = {}
    for table, columns in (("term_structure", ("atm_vol",)), ("skew_metrics", _SKEWS)):
        rows = computation.frames[table].filter(pl.col("is_constant_maturity"))
        for row in rows.iter_rows(named=True):
            days = round(row["days"])
            if days in CONSTANT_MATURITY_DAYS:
                for column in columns:
                    if row[column] is not None:
                        metrics[f"{column}_{days}d"] = float(row[column])
    surfaces = computation.frames["surfaces"]
    for status in ("ok", "repaired", "thin", "refused"):
        metrics[f"expiries_{status}"] = float((surfaces["status"] == status).sum())
    return metrics


def live_blocks(
    computed_ts: datetime,
    computations: Iterable[Computation],
    metrics: Mapping[str, Mapping[str, float]],
    already_written: Collection[str] = (),
) -> dict[str, pl.DataFrame]:
    """Return one block per live table for all markets of one instant.

    Parameters
    ----------
    computed_ts
        The instant; every row carries it.
    computations
        Newest computation of each market.
    metrics
        Per market, name of the metric to value.
    already_written
        Markets whose surface has not moved since the last block: only their metrics are written.
    """
    surfaces: list[pl.DataFrame] = []
    greeks: list[pl.DataFrame] = []
    numbers: list[pl.DataFrame] = []
    for computation in computations:
        for name, parts in (("surfaces", surfaces), ("options_greeks", greeks)):
            if computation.currency in already_written:
                continue
            version = by_name(name).code_version
            parts.append(
                computation.frames[name].with_columns(
                    computed_ts=pl.lit(computed_ts).cast(pl.Datetime("us", "UTC")),
                    code_version=pl.lit(version),
                )
            )
        values = metrics.get(computation.currency, {})
        numbers.append(
            pl.DataFrame(
                {"metric": list(values), "value": list(values.values())},
                schema={"metric": pl.String, "value": pl.Float64},
            ).with_columns(
                computed_ts=pl.lit(computed_ts).cast(pl.Datetime("us", "UTC")),
                snapshot_ts=pl.lit(computation.snapshot_ts).cast(pl.Datetime("ms", "UTC")),
                currency=pl.lit(computation.currency),
                code_version=pl.lit(by_name("surfaces").code_version),
            )
        )
    blocks = {"live_surfaces": surfaces, "live_greeks": greeks, "live_metrics": numbers}
    return {table: pl.concat(parts) for table, parts in blocks.items() if parts}

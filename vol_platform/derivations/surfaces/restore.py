"""Surfaces back from their rows, for everything that reads off them."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from vol_platform.derivations.contracts import INSTANT
from vol_platform.derivations.newest_answer import keeps_newest_answer
from vol_platform.quant.smiles import Smiles
from vol_platform.quant.surface import Surface, surfaces_from_frame

__all__ = ["CONSTANT_MATURITY_DAYS", "listed_smiles", "restore", "smiles_at_maturities"]

CONSTANT_MATURITY_DAYS = (7, 14, 30, 60, 90, 180, 365)
_DAYS_PER_YEAR = 365.0


@keeps_newest_answer
def restore(frame: pl.DataFrame) -> dict[tuple[datetime, str], Surface]:
    """Return the surface of every snapshot and market that has a fitted expiry.

    Parameters
    ----------
    frame
        Rows of ``surfaces``.
    """
    return {
        (surface.snapshot_ts, surface.currency): surface
        for surface in surfaces_from_frame(frame)
        if surface.active.size and surface.snapshot_ts is not None
    }


@keeps_newest_answer
def listed_smiles(frame: pl.DataFrame) -> tuple[pl.DataFrame, Smiles]:
    """Return the smiles of all fitted expiries of all surfaces.

    Parameters
    ----------
    frame
        Rows of ``surfaces``.

    Returns
    -------
    polars.DataFrame
        ``snapshot_ts``, ``currency``, ``expiry_ts`` of each smile.
    Smiles
        In the same order.
    """
    return _smiles(frame, ())


@keeps_newest_answer
def smiles_at_maturities(frame: pl.DataFrame) -> tuple[pl.DataFrame, Smiles]:
    """Return the smiles of all surfaces at their fitted expiries and at constant maturities.

    Constant maturities are those of `CONSTANT_MATURITY_DAYS` between the first and the last fitted
    expiry: outside nothing was quoted.

    Parameters
    ----------
    frame
        Rows of ``surfaces``.

    Returns
    -------
    polars.DataFrame
        ``snapshot_ts``, ``currency``, ``expiry_ts`` (null at a constant maturity),
        ``expiry_years``, ``days``, ``is_constant_maturity`` of each smile; the smiles of a surface
        are together, the fitted expiries first, each kind with increasing maturity.
    Smiles
        In the same order.
    """
    keys, smiles = _smiles(frame, CONSTANT_MATURITY_DAYS)
    return keys.with_columns(
        expiry_years=pl.Series(smiles.expiry_years),
        days=pl.Series(smiles.expiry_years * _DAYS_PER_YEAR),
        is_constant_maturity=pl.col("expiry_ts").is_null(),
    ), smiles


def _smiles(frame: pl.DataFrame, days: tuple[int, ...]) -> tuple[pl.DataFrame, Smiles]:
    parts: list[Smiles] = []
    keys: list[tuple[datetime, str, datetime | None]] = []
    wanted = np.array(days, dtype=np.float64) / _DAYS_PER_YEAR
    for (moment, currency), surface in restore(frame).items():
        years = surface.expiry_years[surface.active]
        constant = wanted[(wanted >= years[0]) & (wanted <= years[-1])]
        parts.append(surface.smiles(np.concatenate([years, constant])))
        keys += [(moment, currency, surface.expiry_ts[at]) for at in surface.active.tolist()]
        keys += [(moment, currency, None)] * constant.size
    schema = {"snapshot_ts": INSTANT, "currency": pl.String(), "expiry_ts": INSTANT}
    return pl.DataFrame(keys, schema=schema, orient="row"), Smiles.concatenate(parts)

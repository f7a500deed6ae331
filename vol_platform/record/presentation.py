"""How the record shows itself in Dagster: schemas, numbers, samples, pictures."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from vol_platform.derivations.contracts import CheckOutcome
from vol_platform.record.engine import DerivationResult, HourChecks
from vol_platform.record.partitions import partition_key
from vol_platform.store.sql_models.tables import table_columns

__all__ = [
    "OWNER",
    "check_metadata",
    "markdown_table",
    "materialisation_metadata",
    "table_metadata",
]

OWNER = "team:vol"
_SAMPLE_CHARACTERS = 60
_PALETTE = 64


def table_metadata(table: str) -> dict[str, Any]:
    """Return the schema and the name of a table as Dagster's standard metadata."""
    columns = [
        dg.TableColumn(column.name, column.type, description=column.comment or None)
        for column in table_columns()[table]
    ]
    return {
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "dagster/table_name": table,
    }


def markdown_table(frame: pl.DataFrame) -> str:
    """Write a small frame as a Markdown table."""
    if frame.is_empty():
        return "none"
    head = "| " + " | ".join(frame.columns) + " |\n|" + " --- |" * frame.width
    rows = (
        "| " + " | ".join(str(value)[:_SAMPLE_CHARACTERS].replace("|", "/") for value in row) + " |"
        for row in frame.iter_rows()
    )
    return "\n".join([head, *rows])


def check_metadata(checks: HourChecks) -> dict[str, Any]:
    """Return the figures of a check: of all hours together, and a failing sample."""
    outcomes = list(checks.outcomes.values())
    failing = [hour for hour, outcome in checks.outcomes.items() if not outcome.passed]
    shown: CheckOutcome = checks.outcomes[failing[0]] if failing else outcomes[-1]
    metadata: dict[str, Any] = {
        "failed_rows": sum(outcome.failed for outcome in outcomes),
        "examined_rows": sum(outcome.examined for outcome in outcomes),
        "hours": len(outcomes),
        **{name: float(value) for name, value in shown.numbers.items()},
    }
    if failing:
        metadata["failed_hours"] = ", ".join(map(partition_key, failing))
    if not shown.sample.is_empty():
        metadata["sample"] = dg.MetadataValue.md(markdown_table(shown.sample))
    return metadata


def materialisation_metadata(
    result: DerivationResult, frames: Mapping[str, pl.DataFrame], *, with_pictures: bool
) -> dict[str, Any]:
    """Return the figures of a materialisation, with pictures where the derivation has some.

    Parameters
    ----------
    result
        What was published.
    frames
        Newest frame of every derivation of the run, for pictures that need two.
    with_pictures
        False leaves them out: a picture weighs some ten kilobytes in the event log.
    """
    published = list(result.published.values())
    rows = sum(hour.rows for hour in published)
    metadata: dict[str, Any] = {
        "dagster/row_count": rows,
        "hours": len(published),
    }
    if len(published) == 1:
        metadata["dagster/partition_row_count"] = rows
        metadata["content_checksum"] = f"{published[0].content_checksum:016x}"
    frame = result.last_frame
    if frame is None:
        return metadata
    metadata["snapshots"] = int(frame["snapshot_ts"].n_unique())
    if with_pictures:
        metadata.update(_pictures(result.derivation.name, frame, frames))
    return metadata


def _pictures(
    name: str, frame: pl.DataFrame, frames: Mapping[str, pl.DataFrame]
) -> dict[str, dg.MetadataValue]:
    """Draw the newest snapshot of each market."""
    if name not in {"surfaces", "term_structure"}:
        return {}
    # matplotlib is slow to import and only this needs it.
    from vol_platform.plots.smile import smile_png
    from vol_platform.plots.surface import surface_png
    from vol_platform.plots.term_structure import term_structure_png

    drawn: dict[str, dg.MetadataValue] = {}
    for currency in frame["currency"].unique().sort():
        newest = _newest(frame, currency)
        if newest["atm_vol"].is_null().all():
            continue
        at = newest["snapshot_ts"][0]
        of = {"currency": currency, "snapshot_ts": at}
        if name == "term_structure":
            drawn[f"term_structure_{currency}"] = _picture(term_structure_png(newest, **of))
            continue
        drawn[f"surface_{currency}"] = _picture(surface_png(newest, **of))
        quotes = frames.get("quotes_clean")
        if quotes is not None:
            board = quotes.filter(pl.col("currency") == currency, pl.col("snapshot_ts") == at)
            drawn[f"smiles_{currency}"] = _picture(smile_png(newest, board, **of))
    return drawn


def _newest(frame: pl.DataFrame, currency: str) -> pl.DataFrame:
    of_market = frame.filter(pl.col("currency") == currency)
    return of_market.filter(pl.col("snapshot_ts") == pl.col("snapshot_ts").max())


def _picture(png: bytes) -> dg.MetadataValue:
    """Embed a picture with a palette: a third of the bytes in an event log kept for ever."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(_PALETTE).save(buffer, format="png", optimize=True)
    return dg.MetadataValue.md(
        f"![](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"
    )

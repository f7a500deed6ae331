"""`vol validate boards`: every board through import, Dagster and the checks, in a scratch store.

What is measured is what the platform would publish: each board goes into the raw tables, its hour
is materialised by the same assets as in operation, and the figures are taken from the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
from clickhouse_connect.driver.client import Client

from vol_platform.errors import ImportFileError
from vol_platform.imports.landing import ImportResult
from vol_platform.imports.mapping import Mapping
from vol_platform.imports.run import Skipped, import_boards
from vol_platform.local.scratch import scratch_store
from vol_platform.quant.diagnosis import SliceDiagnosis, diagnose, worst_slices
from vol_platform.quant.surface import Board, Surface
from vol_platform.quant.validation import BoardReport, pool, validate_board
from vol_platform.record.run import materialise_hours
from vol_platform.settings import Settings
from vol_platform.store.client import connect, query_frame
from vol_platform.store.migrate import migrate

__all__ = ["BoardsReport", "WorstSlice", "validate_boards"]

DATABASE = "vol_validation"

QUOTES = """
SELECT q.*, f.forward AS forward, f.uncertainty_basis_points AS uncertainty_basis_points
FROM quotes_clean AS q
LEFT JOIN forward_curve AS f
    ON f.snapshot_ts = q.snapshot_ts AND f.currency = q.currency AND f.expiry_ts = q.expiry_ts
WHERE q.snapshot_ts = {snapshot_ts:DateTime('UTC')} AND q.currency = {currency:String}
"""
SURFACES = """
SELECT * FROM surfaces
WHERE snapshot_ts = {snapshot_ts:DateTime('UTC')} AND currency = {currency:String}
ORDER BY expiry_ts
"""
REJECTED = """
SELECT count() FROM quotes_rejected
WHERE snapshot_ts = {snapshot_ts:DateTime('UTC')} AND currency = {currency:String}
  AND bid_price IS NOT NULL AND ask_price IS NOT NULL
"""
LISTED = """
SELECT uniqExact(i.expiry_ts)
FROM options_quotes_minute AS q
INNER JOIN instruments AS i USING (instrument_name)
WHERE q.snapshot_ts = {snapshot_ts:DateTime('UTC')} AND q.currency = {currency:String}
  AND i.expiry_ts > {snapshot_ts:DateTime('UTC')}
"""


@dataclass(frozen=True)
class WorstSlice:
    """One of the slices that fit worst, with all that a picture of it needs.

    Attributes
    ----------
    file
        The board it is from.
    surface
        Its row of table `surfaces`.
    quotes
        All rows of `quotes_clean` of its board, with the forward.
    diagnosis
        What its own quotes say about the misses.
    """

    file: str
    surface: pl.DataFrame
    quotes: pl.DataFrame
    diagnosis: SliceDiagnosis


@dataclass(frozen=True)
class BoardsReport:
    """The figures of every board.

    Attributes
    ----------
    boards
        One row per board: `file`, the columns of `vol_platform.quant.validation.BoardReport`,
        `expiries_listed`, `two_sided_rejected` (quotes with both sides that cleaning refused, in
        and out of the money) and `problem` (empty, or why the board has no honest surface).
    pooled
        All boards together, see `vol_platform.quant.validation.pool`.
    expiries
        One row per board and expiry: `file` and the columns of table `surfaces`.
    skipped
        Files that hold no board.
    worst
        The slices that fit worst, as many as were asked for, worst first.
    """

    boards: pl.DataFrame
    pooled: dict[str, float]
    expiries: pl.DataFrame
    skipped: list[Skipped]
    worst: list[WorstSlice]

    @property
    def good(self) -> bool:
        """Whether every board has a surface or a refusal with a reason, for every expiry."""
        return bool((self.boards["problem"] == "").all())


def validate_boards(
    settings: Settings,
    paths: Sequence[Path],
    *,
    mapping: Mapping | None = None,
    into: Settings | None = None,
    worst: int = 0,
    progress: Callable[[str], None] | None = None,
) -> BoardsReport:
    """Validate every board under the given paths.

    Parameters
    ----------
    settings
        Which quotes count; everything but the address of the store.
    paths
        Board files, or folders of them.
    mapping
        How to read CSV files of an unknown kind.
    into
        A store to use and keep instead of a scratch one.
    worst
        How many of the slices that fit worst to diagnose, of those with five quotes or more.
    progress
        Called with a line of text as the work goes on.

    Raises
    ------
    ImportFileError
        No board was found, or one cannot be read.
    """
    say = progress or (lambda _: None)
    store = scratch_store(settings, DATABASE) if into is None else nullcontext(into)
    with store as here:
        migrate(here)
        with connect(here) as client:
            results, skipped = import_boards(
                client,
                here.clickhouse.database,
                paths,
                mapping,
                progress=lambda path, outcome: say(_said(path, outcome)),
            )
            results = [result for result in results if result.snapshots]  # not the trades
            if not results:
                msg = f"no board under {', '.join(map(str, paths))}; {len(skipped)} files skipped"
                raise ImportFileError(msg)
            hours = sorted({minute.replace(minute=0) for r in results for _, minute in r.snapshots})
            say(f"{len(results)} files of boards imported; fitting {len(hours)} hours")
            outcome = materialise_hours(
                here,
                hours,
                progress=lambda done, wanted: say(f"fitted {done} of {wanted} hours"),
            )
            boards, reports, expiries = [], [], []
            for result in results:
                for currency, snapshot_ts in result.snapshots:
                    failure = outcome.failed.get(snapshot_ts.replace(minute=0), "")
                    row, report, surfaces = _one(client, currency, snapshot_ts, failure)
                    file = result.path.name
                    boards.append({"file": file, **row})
                    reports.append(report)
                    expiries.append(surfaces.select(pl.lit(file).alias("file"), pl.all()))
            judged = pl.concat(expiries)
            slices = [
                _diagnosed(client, judged, row)
                for row in worst_slices(judged, worst).iter_slices(n_rows=1)
            ]
    return BoardsReport(
        boards=pl.DataFrame(boards, infer_schema_length=None),
        pooled=pool([report for report in reports if report is not None]),
        expiries=judged,
        skipped=skipped,
        worst=slices,
    )


def _said(path: Path, outcome: ImportResult | Skipped) -> str:
    if isinstance(outcome, Skipped):
        return f"skipped {path.name}"
    rows = ", ".join(f"{count:,} {table}" for table, count in outcome.rows.items() if count)
    return f"imported {path.name} ({rows})"


def _one(
    client: Client, currency: str, snapshot_ts: datetime, failure: str
) -> tuple[dict[str, object], BoardReport | None, pl.DataFrame]:
    """Figures of one board from the published tables."""
    which = {"snapshot_ts": snapshot_ts, "currency": currency}
    quotes = query_frame(client, QUOTES, which)
    surfaces = query_frame(client, SURFACES, which)
    listed, rejected = (
        int(client.query(query, parameters=which).result_rows[0][0]) for query in (LISTED, REJECTED)
    )
    row: dict[str, object] = {
        **which,
        "expiries_listed": listed,
        "two_sided_rejected": rejected,
        "problem": failure or _problem(surfaces, listed),
    }
    if quotes.is_empty() or surfaces.is_empty():
        return row, None, surfaces
    report = validate_board(*_board_and_surface(quotes, surfaces))
    refused = surfaces.filter(pl.col("status") == "refused").height
    return {**report.to_row(), **row, "refused": refused}, report, surfaces


def _board_and_surface(quotes: pl.DataFrame, surfaces: pl.DataFrame) -> tuple[Board, Surface]:
    # An expiry of which no quote was usable is a refused row of the surface and not on the board.
    judged = surfaces.filter(pl.col("expiry_ts").is_in(quotes["expiry_ts"].unique().to_list()))
    return Board.from_frame(quotes), Surface.from_frame(judged)


def _diagnosed(client: Client, expiries: pl.DataFrame, row: pl.DataFrame) -> WorstSlice:
    """Diagnose the slice of one row of `expiries` against the published quotes of its board."""
    keys = ["file", "currency", "snapshot_ts"]
    quotes = query_frame(client, QUOTES, row.select(keys[1:]).row(0, named=True))
    board, surface = _board_and_surface(quotes, expiries.join(row, on=keys, how="semi"))
    diagnosis = diagnose(board, surface, row["expiry_ts"][0])
    return WorstSlice(str(row["file"][0]), row, quotes, diagnosis)


def _problem(surfaces: pl.DataFrame, listed: int) -> str:
    """Say what is not honest about a board's surface; nothing when all is."""
    if surfaces.is_empty():
        return f"no surface row for any of {listed} expiries"
    if surfaces["expiry_ts"].n_unique() < listed:
        return f"{surfaces['expiry_ts'].n_unique()} of {listed} expiries have a row"
    silent = surfaces.filter((pl.col("status") != "ok") & (pl.col("reason") == ""))
    if len(silent):
        return f"{len(silent)} expiries are {silent['status'][0]} without a reason"
    return ""

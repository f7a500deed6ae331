"""`vol import`: files and folders of boards and trades into the raw tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from clickhouse_connect.driver.client import Client

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import ImportFileError
from vol_platform.imports.boards import read_board
from vol_platform.imports.landing import ImportResult
from vol_platform.imports.mapping import Mapping
from vol_platform.imports.readers import NotABoardError
from vol_platform.imports.trades import holds_trades, read_trades, write_trades
from vol_platform.imports.writer import write_board

__all__ = ["Skipped", "board_files", "import_boards"]

SUFFIXES = (".csv", ".csv.gz", ".json", ".json.gz")


@dataclass(frozen=True)
class Skipped:
    """A file that holds neither boards nor trades, with the reason."""

    path: Path
    reason: str


def board_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files to try, folders walked in the order of their names.

    Raises
    ------
    ImportFileError
        A path does not exist, or a folder holds no CSV or JSON file.
    """
    for path in paths:
        if path.is_dir():
            found = sorted(entry for entry in path.rglob("*") if entry.name.endswith(SUFFIXES))
            if not found:
                msg = f"folder {path} holds no file ending in {', '.join(SUFFIXES)}"
                raise ImportFileError(msg)
            yield from found
        elif path.exists():
            yield path
        else:
            msg = f"board file does not exist: {path}; give existing files or folders"
            raise ImportFileError(msg)


def import_boards(
    client: Client,
    database: str,
    paths: Sequence[Path],
    mapping: Mapping | None = None,
    clock: Clock = utc_now,
    progress: Callable[[Path, ImportResult | Skipped], None] | None = None,
) -> tuple[list[ImportResult], list[Skipped]]:
    """Import every board, and every file of trades, under the given paths.

    A folder may hold other files too: those are skipped and named.  A file that is given by name
    must be a board or hold trades.

    Parameters
    ----------
    client
        A ClickHouse client.
    database
        Where the raw tables are.
    paths
        Files and folders.
    mapping
        For CSV files; by default the built-in one that each header fits.
    clock
        Says when we received the rows.
    progress
        Called after each file.

    Raises
    ------
    ImportFileError
        A named file is of no known kind, or a file of a known kind cannot be read.
    """
    named = {path for path in paths if not path.is_dir()}
    done: list[ImportResult] = []
    skipped: list[Skipped] = []
    for path in board_files(paths):
        outcome: ImportResult | Skipped
        try:
            outcome = _import_one(client, database, path, mapping, clock())
            done.append(outcome)
        except NotABoardError as error:
            if path in named:
                raise
            outcome = Skipped(path=path, reason=str(error))
            skipped.append(outcome)
        if progress is not None:
            progress(path, outcome)
    return done, skipped


def _import_one(
    client: Client, database: str, path: Path, mapping: Mapping | None, now: datetime
) -> ImportResult:
    if holds_trades(path, mapping):
        return write_trades(client, database, read_trades(path, mapping), now)
    return write_board(client, database, read_board(path, mapping), now)

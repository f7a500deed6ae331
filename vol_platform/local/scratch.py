"""A store for the length of a `with` block, in a folder that goes away with it."""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vol_platform.errors import LocalStackError
from vol_platform.settings import Settings

__all__ = ["scratch_store"]

READY_WITHIN_SECONDS = 60.0
STOP_WITHIN_SECONDS = 30.0


@contextmanager
def scratch_store(settings: Settings, database: str) -> Iterator[Settings]:
    """Start an embedded store on a free port over a temporary folder, and stop it at the end.

    Parameters
    ----------
    settings
        Everything but the address of ClickHouse is kept.
    database
        Name of the database that the settings point at; not created here.

    Yields
    ------
    Settings
        The same settings, pointing at the scratch store.

    Raises
    ------
    LocalStackError
        The store did not say that it is ready within a minute.
    """
    with tempfile.TemporaryDirectory(prefix="vol-scratch-") as folder:
        command = [sys.executable, "-m", "vol_platform.store.server", "--port", "0"]
        process = subprocess.Popen(
            [*command, "--data", str(Path(folder) / "store")], stdout=subprocess.PIPE, text=True
        )
        try:
            port = _port_of(process)
            address = {"host": "127.0.0.1", "port": port, "database": database}
            where = settings.clickhouse.model_copy(update=address)
            yield settings.model_copy(update={"clickhouse": where})
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _port_of(process: subprocess.Popen[str]) -> int:
    """Read the port from the store's ready line."""
    if process.stdout is None:  # pragma: no cover - we asked for a pipe
        raise LocalStackError("the scratch store has no output to read")
    readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN_SECONDS)
    line = process.stdout.readline() if readable else ""
    address = line.partition("ready at http://")[2].split()
    if not address:
        msg = (
            f"the scratch store did not start within {READY_WITHIN_SECONDS:.0f} s, it said "
            f"{line.strip()!r}; see its message above"
        )
        raise LocalStackError(msg)
    return int(address[0].rpartition(":")[2])

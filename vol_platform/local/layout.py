"""Where the local stack keeps what it keeps: one directory, a folder per part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vol_platform.errors import LocalStackError

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Folders under the data directory.

    Parameters
    ----------
    root : Path
        The data directory (``VOL_DATA_DIRECTORY``).
    database : str
        The database the stack writes to.  What belongs to one exchange (spool, Dagster's home)
        has a folder per database, so that a simulated and a real exchange never mix.
    """

    root: Path
    database: str

    @property
    def store(self) -> Path:
        """Return the embedded store's directory."""
        return self.root / "store"

    @property
    def redis(self) -> Path:
        """Return Redis's directory."""
        return self.root / "redis"

    @property
    def s3(self) -> Path:
        """Return the S3 server's directory."""
        return self.root / "s3"

    @property
    def spool(self) -> Path:
        """Return the streamer's spool."""
        return self.root / "spool" / self.database

    @property
    def history_spool(self) -> Path:
        """Return the spool of the process that fills in simulated history."""
        return self.root / "spool" / f"{self.database}-history"

    @property
    def dagster(self) -> Path:
        """Return Dagster's home."""
        return self.root / "dagster" / self.database

    @property
    def logs(self) -> Path:
        """Return the folder with one log per part."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Return the folder with the state file and the lock."""
        return self.root / "run"

    def create(self) -> None:
        """Make every folder.

        Raises
        ------
        LocalStackError
            The data directory cannot be written to.
        """
        for folder in (
            self.store,
            self.redis,
            self.s3,
            self.spool,
            self.history_spool,
            self.dagster,
            self.logs,
        ):
            self._make_writable(folder)

    def create_run(self) -> None:
        """Make the folder of the lock and the state file.

        Raises
        ------
        LocalStackError
            The data directory cannot be written to.
        """
        self._make_writable(self.run)

    def _make_writable(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            msg = (
                f"cannot write to the data directory {self.root.resolve()} "
                f"({folder}: {error.strerror}); give this user write permission there "
                "or set VOL_DATA_DIRECTORY to another directory"
            )
            raise LocalStackError(msg) from error

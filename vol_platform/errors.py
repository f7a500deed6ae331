"""The platform's exceptions, one tree.

::

    VolError                  everything we raise on purpose
    ├── SettingsError         a configuration value is missing or wrong
    ├── StoreError            ClickHouse, embedded or remote
    │   ├── StoreLockedError  another process owns the data directory
    │   ├── MigrationError    a migration failed or was changed after it ran
    │   └── SqlModelError     a SQL model is wrong; the text begins with file and line
    ├── ArchiveError         the archive on S3 could not be written, read or trusted
    ├── ImportFileError       a board or capture could not be read
    ├── DerivationError       a derivation got frames it cannot work with
    ├── AlertError            a message could not be delivered to somebody who should get it
    ├── LocalStackError       a part of the local stack did not start or stay up
    └── PortInUseError        a port is taken by somebody else

`vol_platform.quant` raises its own `QuantError` (a `ValueError`), because it imports nothing of the
platform.  Every text gives the value, the unit and the cure.
"""

from __future__ import annotations

__all__ = [
    "AlertError",
    "ArchiveError",
    "DerivationError",
    "ImportFileError",
    "LocalStackError",
    "MigrationError",
    "PortInUseError",
    "SettingsError",
    "SqlModelError",
    "StoreError",
    "StoreLockedError",
    "VolError",
]


class VolError(Exception):
    """Base of all that the platform raises on purpose; the `vol` command prints it in one line."""


class SettingsError(VolError):
    """A configuration value is missing or wrong."""


class StoreError(VolError):
    """ClickHouse, embedded or remote, refused or could not be reached."""


class StoreLockedError(StoreError):
    """Another process owns the data directory of the embedded store."""


class MigrationError(StoreError):
    """A migration failed, or a file that already ran was changed."""


class SqlModelError(StoreError):
    """A SQL model is wrong; the text begins with its file and line."""


class ArchiveError(VolError):
    """The archive on S3 could not be written, read or trusted."""


class ImportFileError(VolError):
    """A board or a capture could not be read."""


class DerivationError(VolError):
    """A derivation was given frames it cannot work with."""


class AlertError(VolError):
    """A message could not be delivered to somebody who should get it."""


class LocalStackError(VolError):
    """A part of the local stack did not start or did not stay up."""


class PortInUseError(LocalStackError):
    """A port that a part needs is taken by somebody else."""

"""The collector's exceptions, one tree.

::

    StreamerError
    ├── SettingsError        a setting is missing or wrong
    ├── SpoolError           the spool directory cannot be used
    │   ├── SpoolLockedError another collector owns it
    │   └── SegmentError     a segment file is damaged
    ├── CaptureError         a capture file is missing or cannot be read
    ├── ExchangeError        the exchange refused or could not be reached
    │   └── ExchangeRefusedError  the same request will be refused again
    ├── HistoryError         a file or a wish of `vol-streamer history` is wrong
    ├── StoreRefusedError    ClickHouse refused our credentials or our tables
    └── PortInUseError       the metrics port is taken

Every text gives the value and the cure; the command prints it in one line.
"""

from __future__ import annotations

__all__ = [
    "CaptureError",
    "ExchangeError",
    "ExchangeRefusedError",
    "HistoryError",
    "PortInUseError",
    "SegmentError",
    "SettingsError",
    "SpoolError",
    "SpoolLockedError",
    "StoreRefusedError",
    "StreamerError",
]


class StreamerError(Exception):
    """Base of all that the collector raises on purpose."""


class SettingsError(StreamerError):
    """A setting is missing or wrong."""


class SpoolError(StreamerError):
    """The spool directory cannot be used."""


class SpoolLockedError(SpoolError):
    """Another collector owns the spool directory."""


class SegmentError(SpoolError):
    """A segment file is damaged."""


class CaptureError(StreamerError):
    """A capture file is missing or cannot be read."""


class ExchangeError(StreamerError):
    """The exchange refused a request or could not be reached."""


class ExchangeRefusedError(ExchangeError):
    """The exchange refused a request that it will refuse again."""


class HistoryError(StreamerError):
    """A file or a wish of `vol-streamer history` is wrong."""


class StoreRefusedError(StreamerError):
    """ClickHouse is there but refuses our credentials, our database or our tables."""


class PortInUseError(StreamerError):
    """The metrics port is taken by somebody else."""

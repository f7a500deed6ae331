"""What is set once for the process of a collector."""

from __future__ import annotations

import gc
import sys

import pyarrow as pa

__all__ = ["tune_process"]

_SWITCH_SECONDS = 0.0005


class _Bar:
    """Says of pandas that it is not there."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is kept out", name=fullname)


def tune_process() -> None:
    """Make this process one that reads a socket and writes to a database at once.

    Call it before the first thread starts.
    """
    _keep_pandas_out()
    # The writer's thread must not keep the socket's waiting for the usual 5 ms at every switch,
    # and what the imports made is never garbage.
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()


def _keep_pandas_out() -> None:
    """Let pyarrow look for pandas where it finds none; it looks only once.

    It asks of every list whether it is a series, and imports pandas to know: a second of CPU and
    tens of megabytes, in the moment of the first segment.  Whoever wants a data frame gets one all
    the same.
    """
    bar = _Bar()
    sys.meta_path.insert(0, bar)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(bar)

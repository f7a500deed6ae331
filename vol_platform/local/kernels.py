"""Compiles the maths once, ahead of need: ``python -m vol_platform.local.kernels``.

The compiled code is kept beside the source and shared by every process.  The set-up of a clone
starts this in the background while the other packages are installed; the stack runs it again as a
job before the parts that calibrate.  A lock makes the second wait for the first instead of
compiling everything twice.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

__all__ = ["compile_kernels"]


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(exist_ok=True)
        lock = (folder / ".compiling").open("w")
    except OSError:
        # Installed where we may not write: numba then keeps its cache elsewhere, each for itself.
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compile_kernels() -> None:
    """Compile what is not compiled yet; seconds when everything is, a minute when nothing is."""
    from vol_platform import quant

    with _one_at_a_time(Path(quant.__file__).parent / "__pycache__"):
        quant.compile_all()


if __name__ == "__main__":
    compile_kernels()

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
        quant.warm_up()
        _read_a_surface()


def _read_a_surface() -> None:
    """Call what record and live view call beside the fit: forwards, error bars, smiles, wings."""
    import numpy as np

    from vol_platform.quant import arbitrage, forwards, term_structure
    from vol_platform.quant._board import synthetic_board
    from vol_platform.quant.surface import calibrate

    board = synthetic_board()
    surface = calibrate(board)
    raw = surface.report[0].raw
    arbitrage.butterfly(np.linspace(-1.0, 1.0, 5), *raw)
    term_structure.risk_reversal(surface, 0.25)
    both = np.array([True, False])
    forwards.implied_forwards(
        *(np.zeros(2, dtype=np.int64), np.full(2, 100.0), both),
        *(np.full(2, 0.05), np.full(2, 0.06)),
        priors=np.array([100.0]),
        prior_sources=["future"],
        is_inverse=np.array([True]),
    )


if __name__ == "__main__":
    compile_kernels()

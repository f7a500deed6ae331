"""The Python face for notebooks: load a surface or a board as it was at an instant.

::

    from datetime import UTC, datetime
    from vol_platform.research import load_board, load_surface

    surface = load_surface("BTC", datetime(2026, 6, 2, 12, tzinfo=UTC))
    surface.iv(surface.expiry_ts[0], 70_000)
"""

from vol_platform.research.chain import load_chain
from vol_platform.research.load import load_board, load_surface, load_surface_frame

__all__ = ["load_board", "load_chain", "load_surface", "load_surface_frame"]

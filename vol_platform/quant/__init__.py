"""Pure volatility maths: no I/O, no clock, no Dagster, no ClickHouse.

Importing the package imports nothing else; take what you need::

    from vol_platform.quant import black76, implied, greeks, surface, term_structure
"""

from __future__ import annotations

__all__ = ["compile_all", "warm_up"]


def warm_up() -> None:
    """Make ready what a live surface needs, before the first option has to wait for it.

    Takes well under a second when compiled code is on disk, and a minute or two when it is not.
    """
    from vol_platform.quant import _warm_up

    _warm_up.use_options()
    _warm_up.use_surface()


def compile_all() -> None:
    """Compile every kernel that is not on disk yet; `warm_up` and what only the record needs."""
    from vol_platform.quant import _warm_up

    warm_up()
    _warm_up.use_the_rest()

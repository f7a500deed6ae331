"""Pure volatility maths: no I/O, no clock, no Dagster, no ClickHouse.

Importing the package imports nothing else; take what you need::

    from vol_platform.quant import black76, implied, greeks, surface, term_structure
"""

from __future__ import annotations

__all__ = ["warm_up"]


def warm_up() -> None:
    """Compile every kernel, or load it from disk, before the first option has to wait for it.

    Takes well under a second when compiled code is on disk, and a minute or two when it is not.
    """
    from vol_platform.quant import black76, greeks, implied, surface

    forward, strike, expiry_years, vol = 60_000.0, 66_000.0, 0.1, 0.5
    price = black76.price(forward, strike, expiry_years, vol, is_call=True)
    implied.implied_vol(price, forward, strike, expiry_years, is_call=True)
    greeks.greeks(forward, strike, expiry_years, vol, is_call=True)
    surface.warm_up()

"""The one exception of the maths."""

from __future__ import annotations

__all__ = ["QuantError"]


class QuantError(ValueError):
    """An argument that no cell-by-cell NaN can express: a wrong shape, type or parameter.

    The text gives the offending value, its unit and the cure. Bad *data* (a negative price, a
    missing volatility) never raises: the cell becomes NaN, with a status where the function has
    one.
    """

"""Tick ladders: the steps in which prices move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["COIN_LADDER", "Ladder"]


@dataclass(frozen=True, slots=True)
class Ladder:
    """A small step for low prices and a large one from `above` on.

    Attributes
    ----------
    fine, coarse
        The steps, in the unit of the prices.
    above
        Price from which the coarse step holds; 0 for one step everywhere.
    """

    fine: float
    coarse: float
    above: float

    def step(self, price: ArrayLike) -> NDArray[np.float64]:
        """Return the step at each price."""
        return np.where(np.asarray(price) < self.above, self.fine, self.coarse)

    def round(self, price: ArrayLike, side: int = 0) -> NDArray[np.float64]:
        """Round prices to the ladder; `side` is -1 for down, +1 for up, 0 for nearest."""
        value = np.asarray(price, dtype=np.float64)
        step = self.step(value)
        steps = value / step
        whole = (
            np.round(steps)
            if side == 0
            else np.ceil(steps - 1e-9)
            if side > 0
            else np.floor(steps + 1e-9)
        )
        return np.asarray(np.round(whole * step, 4))

    @property
    def rows(self) -> list[dict[str, float]]:
        """The steps above the first one, as `get_instruments` lists them."""
        if self.fine == self.coarse:
            return []
        return [{"above_price": self.above, "tick_size": self.coarse}]


COIN_LADDER = Ladder(0.0001, 0.0005, 0.005)
"""Of inverse options, in coin."""

"""Settings of a calibration."""

from __future__ import annotations

from dataclasses import dataclass, field

from vol_platform.quant._fit.problem import Loss
from vol_platform.quant.errors import QuantError

__all__ = ["MODELS", "SurfaceConfig"]

MODELS = ("svi", "essvi", "ssvi")


@dataclass(frozen=True, slots=True)
class SurfaceConfig:
    """How a surface is fitted.

    Attributes
    ----------
    model
        ``svi`` (default), ``essvi`` or ``ssvi``.
    residual
        Add the residual spline to SVI slices with enough quotes.
    roughness
        Price of bending the residual; larger is smoother.
    rich_quotes
        Two-sided quotes from which a slice is fitted freely.
    weekend_weight
        Event-time weight of a weekend second, for interpolation between expiries.  The default is
        what recorded BTC and ETH boards of 2025 and 2026 say (`docs/method.md`);
        `event_time.estimate_weekend_weight` measures it anew.
    rounds
        Escalation rounds of the joint fit before the guarantee layer takes over.
    loss
        Shape of the loss of a quote.
    """

    model: str = "svi"
    residual: bool = True
    roughness: float = 0.002
    rich_quotes: int = 8
    weekend_weight: float = 0.45
    rounds: int = 9
    loss: Loss = field(default_factory=Loss)

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            msg = f"model must be one of {', '.join(MODELS)}, was {self.model!r}"
            raise QuantError(msg)
        if not self.roughness >= 0.0:
            raise QuantError(f"roughness must be >= 0, was {self.roughness}")
        if self.rounds < 0 or self.rich_quotes < 5:
            raise QuantError(
                f"rounds must be >= 0 and rich_quotes >= 5, were {self.rounds} and "
                f"{self.rich_quotes}"
            )
        if not 0.0 < self.weekend_weight <= 1.0:
            msg = f"weekend_weight must be in (0, 1], was {self.weekend_weight}"
            raise QuantError(msg)

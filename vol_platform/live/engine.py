"""One computation of the live view: the registry's derivations on the newest state of a market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from vol_platform.clock import monotonic_seconds
from vol_platform.derivations.contracts import RAW_FRAMES, Derivation, DerivationContext
from vol_platform.derivations.registry import REGISTRY
from vol_platform.derivations.surfaces.restore import restore
from vol_platform.live.market import Market
from vol_platform.quant.surface import Surface
from vol_platform.settings import QuoteSettings

__all__ = ["WANTED", "Computation", "Engine", "plan"]

WANTED = ("forward_curve", "surfaces", "options_greeks", "term_structure", "skew_metrics")
"""Derivations that the live view publishes."""

SLOW = frozenset({"term_structure", "skew_metrics"})
"""Of these a reader wants a new value every second, not ten: they only read off the surface."""

_SLOW_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Computation:
    """What one computation gave.

    Attributes
    ----------
    currency
        The market.
    snapshot_ts
        Newest exchange time in it.
    frames
        Frame of each derivation of the plan; those of `SLOW` may be from a moment before.
    fresh
        Names of the frames that are of this computation.
    seconds
        How long it took.
    """

    currency: str
    snapshot_ts: datetime
    frames: dict[str, pl.DataFrame]
    fresh: frozenset[str]
    seconds: float


def plan(
    wanted: Sequence[str] = WANTED, registry: Sequence[Derivation] = REGISTRY
) -> tuple[Derivation, ...]:
    """Return the wanted derivations and everything they need, in the registry's order.

    Raises
    ------
    ValueError
        The registry has no derivation of a wanted name.
    """
    known = {derivation.name: derivation for derivation in registry}
    needed: set[str] = set()
    ahead = list(wanted)
    while ahead:
        name = ahead.pop()
        if name in needed or name in RAW_FRAMES:
            continue
        if name not in known:
            msg = f"no derivation is called {name}; the registry has {sorted(known)}"
            raise ValueError(msg)
        needed.add(name)
        ahead.extend(known[name].inputs)
    return tuple(derivation for derivation in registry if derivation.name in needed)


class Engine:
    """Runs the plan for one market after the other, starting warm from the surface before.

    Every expiry is refitted, not only those whose quotes changed: the fit is joint over expiries,
    time to expiry moves for all of them, and warm it costs a few milliseconds for a whole board.
    """

    def __init__(self, settings: QuoteSettings) -> None:
        self._settings = settings
        self._plan = plan()
        self._surfaces: dict[str, Surface] = {}
        self._slow: dict[str, tuple[float, dict[str, pl.DataFrame]]] = {}

    def compute(self, market: Market) -> Computation:
        """Derive everything from the newest state of a market.

        Raises
        ------
        VolError
            A derivation cannot work with the frames.
        """
        began = monotonic_seconds()
        frames = market.frames(self._settings.max_quote_age_seconds)
        context = DerivationContext(
            max_quote_age_seconds=self._settings.max_quote_age_seconds,
            settlement_window_seconds=self._settings.settlement_window_seconds,
            previous_surfaces=dict(self._surfaces),
        )
        slow_since, slow = self._slow.get(market.currency, (-_SLOW_SECONDS, {}))
        is_due = began - slow_since >= _SLOW_SECONDS
        fresh = frozenset(d.name for d in self._plan if is_due or d.name not in SLOW)
        for derivation in self._plan:
            if derivation.name in fresh:
                frames[derivation.name] = derivation.derive(frames, context)
            else:
                frames[derivation.name] = slow[derivation.name]
        if is_due:
            self._slow[market.currency] = began, {name: frames[name] for name in SLOW & fresh}
        # The greeks have rebuilt the surface from its rows already; no fitted expiry, no surface.
        self._surfaces |= {
            name: surface for (_, name), surface in restore(frames["surfaces"]).items()
        }
        return Computation(
            currency=market.currency,
            snapshot_ts=datetime.fromtimestamp(market.newest_exchange_milliseconds / 1e3, UTC),
            frames={derivation.name: frames[derivation.name] for derivation in self._plan},
            fresh=fresh,
            seconds=monotonic_seconds() - began,
        )

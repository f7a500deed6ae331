"""What the stack can be asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """What `vol up` was asked for."""

    exchange: str = "simulator"
    """simulator or deribit."""
    currencies: tuple[str, ...] = ("BTC",)
    seed: int = 7
    history_hours: int = 3
    """Simulated hours to fill in before now; 0 for none.  The real exchange has no such thing."""
    with_dagster: bool = True
    with_s3: bool = False
    ports: dict[str, int | None] = field(default_factory=dict)
    """Ports asked for by name: store, redis, s3, exchange, streamer, dagster."""
    port_offset: int = 0

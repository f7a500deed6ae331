"""How a simulated exchange behaves: market, rates, limits and faults."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from vol_platform.errors import SettingsError
from vol_platform.simulator.market.market import Currency

__all__ = ["ChaosOptions", "ExchangeOptions", "make_options"]


class ChaosOptions(BaseModel):
    """Faults, all off by default; shares are probabilities per message, drawn from the seed."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    drop_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Notifications silently lost (a gap in change_id and trade_seq)."""
    lose_channels: tuple[str, ...] = ()
    """Notifications of channels containing any of these texts are lost, all of them."""
    duplicate_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Notifications sent twice."""
    malformed_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Notifications cut in the middle, so that they are not JSON."""
    odd_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Notifications with one of `chaos.ODDITIES`: bad UTF-8, NaN, null, text for a number, …"""
    reorder_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Notifications that leave after the one that followed them."""
    unknown_field_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Notifications whose data has one more field."""
    unknown_instrument_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Notifications whose instrument is in no list."""
    reply_after_data: bool = False
    """The reply to subscribe comes after the first data."""
    stalled: bool = False
    """Connections stay open and say nothing, not even heartbeats."""
    maintenance: bool = False
    """Every call is refused with 11051 and platform_state says locked."""
    mute: bool = False
    """Heartbeats and replies, but no data."""
    stall_in_frame: bool = False
    """Half of the next frame is sent, and then nothing more on that connection."""
    drip_bytes_per_second: int = Field(default=0, ge=0)
    """Everything leaves in small pieces, no faster than this; 0 sends at once."""
    handshake_status: Literal[0, 403, 429, 503] = 0
    """New WebSockets are refused with this status of HTTP; 0 accepts them."""
    timestamp_offset_ms: int = 0
    """Added to every exchange timestamp, also to that of get_time: a wrong clock over there."""
    lose_snapshots: bool = False
    """The first message of a book does not arrive."""
    refuse_channels: tuple[str, ...] = ()
    """Channels containing any of these texts are left out of the reply."""
    only_channels: tuple[str, ...] = ()
    """Shares and lost snapshots concern channels containing any of these texts; empty is all."""


class ExchangeOptions(BaseModel):
    """Everything that decides what an exchange says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free port."""
    seed: int = 7
    currencies: tuple[Currency, ...] = ("BTC",)
    start: AwareDatetime | None = None
    """Simulated time at start-up; None is now."""
    speed: float = Field(default=1.0, ge=0.0)
    """Simulated seconds per real second; for a capture 0 is as fast as the socket takes it."""
    rate: float = Field(default=1.0, gt=0.0, le=200.0)
    """Multiplies how often quotes change."""
    capture: Path | None = None
    capture_all: bool = False
    """Send every frame of the capture to whoever subscribes to anything."""
    capture_plays: int = Field(default=1, ge=1)
    """How many connections get the capture, each from its beginning."""
    capture_end: Literal["close", "hold"] = "hold"
    """When the capture is finished: close with 1000, or stay open."""
    oracle_log: Path | None = None
    """Where to write, as JSON lines, what was sent."""
    enforce_credits: bool = True
    client_id: str = "simulator"
    client_secret: str = "simulator"  # noqa: S105 - guards a simulated market, not a secret
    login_seconds: int = Field(default=900, ge=1)
    """How long a login lasts; after that, and without a refresh, raw channels are refused."""
    testnet: bool = False
    chaos: ChaosOptions = ChaosOptions()

    @model_validator(mode="after")
    def _only_a_capture_is_unpaced(self) -> Self:
        if self.speed == 0 and self.capture is None:
            msg = "--speed 0 (as fast as the socket takes it) needs --capture"
            raise ValueError(msg)
        return self


def _flag_of(location: tuple[int | str, ...]) -> str:
    """Return the command-line flag of a value's place in the options."""
    names = [part for part in location if isinstance(part, str) and part != "chaos"]
    return f"--{names[-1].replace('_', '-')}"


def make_options(**values: object) -> ExchangeOptions:
    """Return validated options.

    Raises
    ------
    SettingsError
        A value is out of range; one line names it, the value and what is allowed.
    """
    try:
        return ExchangeOptions.model_validate(values)
    except ValidationError as error:
        parts = (
            f"{_flag_of(item['loc'])}: {item['msg']}, was {item['input']!r}"
            if item["loc"]
            else str(item["ctx"]["error"])
            for item in error.errors(include_url=False)
        )
        msg = "simulator options are wrong: " + "; ".join(parts)
        raise SettingsError(msg) from None

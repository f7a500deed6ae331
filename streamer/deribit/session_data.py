"""What a session is told, what it reports, and what it remembers: plain data without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from streamer.deribit.sequences import BookChain

__all__ = ["Channel", "Credentials", "Event", "Login", "Request", "SessionLimits"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key of the exchange; its secret is in no repr."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How a session paces itself and when it gives up."""

    channels_per_subscribe: int = 200
    heartbeat_seconds: int = 10
    data_silence_seconds: float = 6.0
    first_data_seconds: float = 30.0
    channel_silence_seconds: float = 30.0
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the owner of the session should know.

    Attributes
    ----------
    kind
        lifecycle, refused, mute, error, clock, logged_in, book_broken, book_whole, trades_missing
        or lock.
    detail
        In words.
    channels
        That it is about.
    data
        Bytes of a lifecycle message; milliseconds of a clock event; the `Hole` of missing trades;
        of a lock whether it is on; of a broken book when its last whole update came.
    """

    kind: str
    detail: str = ""
    channels: tuple[str, ...] = ()
    data: Any = None


@dataclass(slots=True)
class Request:
    """A call whose reply is awaited."""

    method: str
    sent_at: float
    channels: tuple[str, ...] = ()


@dataclass(slots=True)
class Channel:
    """What is known of one wanted channel."""

    attempts: int = 0
    not_before: float = 0.0
    in_flight: bool = False
    accepted_at: float | None = None
    last_data: float | None = None
    refused: bool = False
    problem: str = ""  # why it is not accepted
    is_mute: bool = False
    is_leaving: bool = False  # its unsubscribe is not answered yet
    chain: BookChain | None = None
    needs_snapshot: bool = False  # the chain broke


class Login(msgspec.Struct):
    """The part of a login's reply that matters."""

    expires_in: float = 0.0
    refresh_token: str = ""

"""A session with the exchange as a pure state machine: frames and time in, frames and events out.

It opens no socket and asks no clock.  Whoever owns the socket calls `open` when it is connected,
`receive` with every frame, `tick` now and then, sends what `outgoing` returns, and tears the socket
down when `failure` is set.  Wire facts: chunks of at most 200 channels per subscribe; the reply
lists what was accepted, in any order, possibly after the first data; a ``test_request`` must be
answered; running out of credits ends the session.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from streamer.deribit.channels import Family, family_of, speaks_at_once
from streamer.deribit.credits import CreditBucket
from streamer.deribit.error_codes import Reaction, rule_of
from streamer.deribit.messages import Envelope, ReplyError
from streamer.deribit.session_data import (
    Channel,
    Credentials,
    Event,
    Login,
    Request,
    SessionLimits,
)

__all__ = ["Session"]

_SUBSCRIBE_PRICE = 3_000.0
_SUBSCRIBE_POOL = 27_000.0  # of 30,000: the exchange's clock is not ours
_OTHER_PRICE = 500.0
_OTHER_POOL = 45_000.0  # of 50,000
_REFILL_PER_SECOND = 9_000.0  # of 10,000
_REPLY_SECONDS = 10.0
_LARGEST_RETRY_SECONDS = 60.0
_LOGIN_REFRESH_SHARE = 0.8
_CLOCK_SECONDS = 60.0


class Session:
    """One connection's worth of protocol.

    Parameters
    ----------
    limits
        Pacing and patience.
    credentials
        Log in with these first; None stays anonymous.

    Attributes
    ----------
    failure
        Why the socket must be torn down; None while all is well.
    failure_is_final
        No new connection can help: a person must act.
    """

    def __init__(self, limits: SessionLimits, credentials: Credentials | None = None) -> None:
        self.failure: str | None = None
        self.failure_is_final = False
        self._limits = limits
        self._credentials = credentials
        self._decoder = msgspec.json.Decoder(Envelope)
        self._channels: dict[str, Channel] = {}
        self._reset(0.0)

    def _reset(self, now: float) -> None:
        self._next_id = 0
        self._requests: dict[int, Request] = {}
        self._ready: list[bytes] = []
        self._events: list[Event] = []
        self._unsubscribe: list[str] = []
        self._chunk = self._limits.channels_per_subscribe
        self._subscribe_credits = CreditBucket(_SUBSCRIBE_POOL, _REFILL_PER_SECOND, now)
        self._other_credits = CreditBucket(_OTHER_POOL, _REFILL_PER_SECOND, now)
        self._is_open = False
        self._may_subscribe = False
        self._last_frame = now
        self._last_data: float | None = None
        self._refresh_at: float | None = None
        self._refresh_token = ""
        self._clock_at = now

    # -- what the owner says ---------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Say that a new socket is connected; everything of an earlier one is forgotten."""
        self._reset(now)
        self.failure = None
        self.failure_is_final = False
        self._channels = {name: Channel() for name in self._channels}
        self._is_open = True
        self._send("public/set_heartbeat", {"interval": self._limits.heartbeat_seconds}, now)
        if self._credentials is None:
            self._may_subscribe = True
        else:
            self._log_in(now)

    def want(self, channels: Iterable[str]) -> None:
        """Ask for channels; those wanted already are left alone, refused ones are tried anew."""
        for name in channels:
            known = self._channels.get(name)
            if known is None or known.refused:
                self._channels[name] = Channel()

    def drop(self, channels: Iterable[str]) -> None:
        """Stop wanting channels."""
        for name in channels:
            if self._channels.pop(name, None) is not None and self._is_open:
                self._unsubscribe.append(name)

    def receive(self, frame: bytes, now: float) -> None:
        """Take a frame.  A frame that cannot be read changes nothing; the decoder buries it."""
        self._last_frame = now
        try:
            envelope = self._decoder.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        params = envelope.params
        if envelope.method == "subscription" and params is not None and params.channel is not None:
            self._take_data(params.channel, params.data, now)
        elif envelope.method == "heartbeat":
            if params is not None and params.type == "test_request":
                self._send("public/test", {}, now)
        elif isinstance(envelope.id, int):
            request = self._requests.pop(envelope.id, None)
            if request is not None:
                self._take_reply(request, envelope, now)

    def tick(self, now: float) -> None:
        """Let time pass: missed replies, silence, channels without a first frame, a new login."""
        if not self._is_open:
            return
        limits = self._limits
        for number, request in list(self._requests.items()):
            if now - request.sent_at >= _REPLY_SECONDS:
                del self._requests[number]
                self._miss_reply(request, now)
        if now - self._last_frame >= 2 * limits.heartbeat_seconds:
            self._fail(f"no frame and no heartbeat for {now - self._last_frame:.1f} s")
        self._check_first_data(now)
        self._check_silence(now)
        if self._refresh_at is not None and now >= self._refresh_at:
            self._log_in(now)
        if now >= self._clock_at:
            self._clock_at = now + _CLOCK_SECONDS
            self._send("public/get_time", {}, now)

    def outgoing(self, now: float) -> list[bytes]:
        """Return the frames to send now, as far as the credits go."""
        frames, self._ready = self._ready, []
        if self._may_subscribe:
            frames += self._changes("public/unsubscribe", self._unsubscribe, now)
            waiting = [
                name
                for name, channel in self._channels.items()
                if channel.accepted_at is None
                and not channel.in_flight
                and not channel.refused
                and now >= channel.not_before
            ]
            frames += self._changes("public/subscribe", waiting, now)
        return frames

    def events(self) -> list[Event]:
        """Return what happened since the last call."""
        events, self._events = self._events, []
        return events

    # -- what the owner may ask ------------------------------------------------------------------

    @property
    def wanted(self) -> frozenset[str]:
        """Every channel that is asked for."""
        return frozenset(self._channels)

    @property
    def is_complete(self) -> bool:
        """Whether every channel is accepted and every one that speaks by itself has spoken.

        Refused and mute channels, each reported by an event, do not count.
        """
        return self._is_open and all(
            channel.refused
            or channel.is_mute
            or channel.last_data is not None
            or (channel.accepted_at is not None and not speaks_at_once(name))
            for name, channel in self._channels.items()
        )

    @property
    def is_refused(self) -> bool:
        """Whether every channel is refused: nothing more will come of this session."""
        return bool(self._channels) and all(it.refused for it in self._channels.values())

    @property
    def unaccepted(self) -> dict[str, str]:
        """The channels that are not accepted on this socket, each with the reason."""
        return {
            name: channel.problem or "not answered"
            for name, channel in self._channels.items()
            if channel.accepted_at is None
        }

    def has_data(self, name: str) -> bool:
        """Tell whether a channel is wanted here and has spoken on this socket."""
        channel = self._channels.get(name)
        return channel is not None and channel.last_data is not None

    def silent_channels(self, seconds: float, now: float) -> list[tuple[str, float]]:
        """Return the tickers without data for so long, with the time of their last data."""
        return [
            (name, channel.last_data)
            for name, channel in self._channels.items()
            if channel.last_data is not None
            and now - channel.last_data >= seconds
            and family_of(name) is Family.TICKER
        ]

    # -- inside ----------------------------------------------------------------------------------

    def _send(
        self, method: str, params: dict[str, Any], now: float, channels: tuple[str, ...] = ()
    ) -> None:
        self._ready.append(self._request(method, params, now, channels))

    def _request(
        self, method: str, params: dict[str, Any], now: float, channels: tuple[str, ...]
    ) -> bytes:
        self._next_id += 1
        self._requests[self._next_id] = Request(method, now, channels)
        if method not in ("public/subscribe", "public/unsubscribe"):
            # Answers to the exchange's own questions are never held back; they count all the same.
            self._other_credits.take(_OTHER_PRICE, now)
        body = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        return msgspec.json.encode(body)

    def _changes(self, method: str, names: list[str], now: float) -> list[bytes]:
        """Return subscribe or unsubscribe requests in chunks, as far as the credits go."""
        frames = []
        remaining = list(names)
        while remaining and self._subscribe_credits.take(_SUBSCRIBE_PRICE, now):
            chunk, remaining = tuple(remaining[: self._chunk]), remaining[self._chunk :]
            frames.append(self._request(method, {"channels": list(chunk)}, now, chunk))
            for name in chunk:
                if name in self._channels and method == "public/subscribe":
                    self._channels[name].in_flight = True
        if method == "public/unsubscribe":
            self._unsubscribe = remaining
        return frames

    def _log_in(self, now: float) -> None:
        self._refresh_at = None
        if self._refresh_token:
            params = {"grant_type": "refresh_token", "refresh_token": self._refresh_token}
        elif self._credentials is not None:
            params = {
                "grant_type": "client_credentials",
                "client_id": self._credentials.client_id,
                "client_secret": self._credentials.client_secret,
            }
        else:
            self._fail("the exchange wants a login; set VOL_STREAMER_CLIENT_ID and …_CLIENT_SECRET")
            return
        self._send("public/auth", params, now)

    def _take_data(self, name: str, data: msgspec.Raw, now: float) -> None:
        self._last_data = now
        channel = self._channels.get(name)
        if channel is not None:
            channel.last_data = now
            channel.is_mute = False
            if channel.accepted_at is None:  # data may come before the reply
                channel.accepted_at = now
        if family_of(name) is Family.LIFECYCLE:
            self._events.append(Event("lifecycle", name, (name,), bytes(data)))

    def _take_reply(self, request: Request, envelope: Envelope, now: float) -> None:
        if envelope.error is not None:
            self._take_error(request, envelope.error, now)
        elif request.method == "public/subscribe":
            self._take_accepted(request, envelope.result, now)
        elif request.method == "public/auth":
            self._take_login(envelope.result, now)
        elif request.method == "public/get_time":
            self._take_clock(request, envelope, now)

    def _take_accepted(self, request: Request, result: msgspec.Raw, now: float) -> None:
        try:
            accepted = frozenset(msgspec.json.decode(result, type=list[str]))
        except msgspec.DecodeError:
            accepted = frozenset()
        for name in request.channels:
            channel = self._channels.get(name)
            if channel is None:
                continue
            channel.in_flight = False
            if name in accepted:
                channel.accepted_at = now
            elif channel.last_data is None:
                self._retry(name, channel, "the exchange left it out of its reply", now)

    def _take_error(self, request: Request, error: ReplyError, now: float) -> None:
        rule = rule_of(error.code)
        detail = f"{request.method}: {error.code} {rule.name} {error.message}".strip()
        self._events.append(Event("error", detail, request.channels))
        if request.method == "public/auth":
            self._fail(f"login failed: {detail}", final=rule.reaction is Reaction.FAIL)
            return
        if rule.reaction is Reaction.FAIL:
            self._fail(detail, final=True)
            return
        if rule.reaction is Reaction.DRAIN:
            self._subscribe_credits.drain(now)
            self._other_credits.drain(now)
        if rule.reaction is Reaction.LOG_IN:
            self._refresh_token = ""
            self._log_in(now)
        is_alone = len(request.channels) == 1
        if rule.reaction is Reaction.SPLIT and not is_alone:
            self._chunk = max(1, len(request.channels) // 2)
        for name in request.channels:
            channel = self._channels.get(name)
            if channel is None:
                continue
            channel.in_flight = False
            if rule.reaction is Reaction.REFUSE or (rule.reaction is Reaction.SPLIT and is_alone):
                self._refuse(name, channel, detail)
            elif rule.reaction is not Reaction.SPLIT:
                self._retry(name, channel, detail, now, forever=True)

    def _take_login(self, result: msgspec.Raw, now: float) -> None:
        try:
            login = msgspec.json.decode(result, type=Login)
        except msgspec.DecodeError as error:
            self._fail(f"the reply to the login cannot be read: {error}")
            return
        self._refresh_token = login.refresh_token
        if login.expires_in > 0:
            self._refresh_at = now + login.expires_in * _LOGIN_REFRESH_SHARE
        self._may_subscribe = True
        self._events.append(Event("logged_in"))

    def _take_clock(self, request: Request, envelope: Envelope, now: float) -> None:
        if envelope.us_in is None or envelope.us_out is None:
            return
        # The exchange's clock halfway between question and answer; the owner knows our own.
        round_trip_ms = (now - request.sent_at) * 1000
        middle_ms = (envelope.us_in + envelope.us_out) / 2000
        halfway = (request.sent_at + now) / 2
        self._events.append(Event("clock", f"{round_trip_ms:.1f} ms", (), (middle_ms, halfway)))

    def _miss_reply(self, request: Request, now: float) -> None:
        if request.method == "public/auth":
            self._fail(f"no reply to the login within {_REPLY_SECONDS:.0f} s")
            return
        for name in request.channels:
            channel = self._channels.get(name)
            if channel is not None and channel.in_flight:
                channel.in_flight = False
                if channel.last_data is None:
                    self._retry(name, channel, "no reply to subscribe", now, forever=True)

    def _retry(
        self, name: str, channel: Channel, detail: str, now: float, *, forever: bool = False
    ) -> None:
        channel.attempts += 1
        if channel.attempts >= self._limits.attempts and not forever:
            self._refuse(name, channel, detail)
            return
        channel.accepted_at = None
        channel.problem = detail
        channel.not_before = now + min(_LARGEST_RETRY_SECONDS, 0.5 * 2**channel.attempts)

    def _refuse(self, name: str, channel: Channel, detail: str) -> None:
        channel.refused = True
        channel.problem = detail
        self._events.append(Event("refused", detail, (name,)))

    def _check_first_data(self, now: float) -> None:
        for name, channel in self._channels.items():
            waiting = channel.accepted_at is not None and channel.last_data is None
            if not waiting or channel.is_mute or not speaks_at_once(name):
                continue
            if now - (channel.accepted_at or now) < self._limits.first_data_seconds:
                continue
            channel.attempts += 1
            if channel.attempts >= self._limits.attempts:
                channel.is_mute = True
                detail = f"accepted, but silent for {channel.attempts} attempts"
                self._events.append(Event("mute", detail, (name,)))
            else:
                self._unsubscribe.append(name)
                channel.accepted_at = None
                channel.not_before = now + 1.0

    def _check_silence(self, now: float) -> None:
        speaking = [
            channel.accepted_at
            for name, channel in self._channels.items()
            if channel.accepted_at is not None and not channel.is_mute and speaks_at_once(name)
        ]
        if not speaking:
            return
        since = max(min(speaking), self._last_data or 0.0)
        if now - since >= self._limits.data_silence_seconds:
            self._fail(f"connected, but no data for {now - since:.1f} s")

    def _fail(self, reason: str, *, final: bool = False) -> None:
        if self.failure is None:
            self.failure = reason
            self.failure_is_final = final

"""A session with the exchange as a pure state machine: frames and time in, frames and events out.

It opens no socket and asks no clock.  Whoever owns the socket calls `open` when it is connected,
`receive` with every frame, `tick` now and then, sends what `outgoing` returns, and tears the socket
down when `failure` is set.  Wire facts: chunks of at most 200 channels per subscribe; the reply
lists what was accepted, in any order, possibly after the first data; a ``test_request`` must be
answered; running out of credits ends the session.  What becomes of each channel is decided in
`streamer.deribit.subscriptions`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from streamer.deribit.channels import Family, family_of, speaks_at_once
from streamer.deribit.credits import CreditBucket
from streamer.deribit.error_codes import Reaction, rule_of
from streamer.deribit.messages import Envelope, ReplyError
from streamer.deribit.platform import lock_of
from streamer.deribit.sequences import TradeWatch
from streamer.deribit.session_data import Credentials, Event, Login, Request, SessionLimits
from streamer.deribit.subscriptions import Subscriptions

__all__ = ["Session"]

_SUBSCRIBE_PRICE = 3_000.0
_SUBSCRIBE_POOL = 27_000.0  # of 30,000: the exchange's clock is not ours
_OTHER_PRICE = 500.0
_OTHER_POOL = 45_000.0  # of 50,000
_REFILL_PER_SECOND = 9_000.0  # of 10,000
_REPLY_SECONDS = 10.0
_CHECK_SECONDS = 0.1
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
    trades
        Follows the numbering of trades; shared by all sessions of a collector, because numbers
        outlive a socket.

    Attributes
    ----------
    failure
        Why the socket must be torn down; None while all is well.
    failure_is_final
        No new connection can help: a person must act.
    """

    def __init__(
        self,
        limits: SessionLimits,
        credentials: Credentials | None = None,
        trades: TradeWatch | None = None,
    ) -> None:
        self.failure: str | None = None
        self.failure_is_final = False
        self._limits = limits
        self._credentials = credentials
        self._trades = trades if trades is not None else TradeWatch()
        self._decoder = msgspec.json.Decoder(Envelope)
        self._events: list[Event] = []
        self._subscriptions = Subscriptions(limits, self._events)
        self._reset(0.0)

    def _reset(self, now: float) -> None:
        self._next_id = 0
        self._requests: dict[int, Request] = {}
        self._ready: list[bytes] = []
        self._subscribe_credits = CreditBucket(_SUBSCRIBE_POOL, _REFILL_PER_SECOND, now)
        self._other_credits = CreditBucket(_OTHER_POOL, _REFILL_PER_SECOND, now)
        self._is_open = False
        self._may_subscribe = False
        self._last_frame = now
        self._checked_at = now - _CHECK_SECONDS
        self._locked: set[str] = set()
        self._refresh_at: float | None = None
        self._refresh_token = ""
        self._clock_at = now

    # -- what the owner says ---------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Say that a new socket is connected; everything of an earlier one is forgotten."""
        self._reset(now)
        self.failure = None
        self.failure_is_final = False
        self._subscriptions.reset()
        self._is_open = True
        self._send("public/set_heartbeat", {"interval": self._limits.heartbeat_seconds}, now)
        if self._credentials is None:
            self._may_subscribe = True
        else:
            self._log_in(now)

    def want(self, channels: Iterable[str]) -> None:
        """Ask for channels; those wanted already are left alone, refused ones are tried anew."""
        self._subscriptions.want(channels)

    def drop(self, channels: Iterable[str]) -> None:
        """Stop wanting channels."""
        self._subscriptions.drop(channels, is_open=self._is_open)

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
        if not self._is_open or now < self._checked_at + _CHECK_SECONDS:
            return
        self._checked_at = now
        limits = self._limits
        for number, request in list(self._requests.items()):
            if now - request.sent_at >= _REPLY_SECONDS:
                del self._requests[number]
                self._miss_reply(request, now)
        if now - self._last_frame >= 2 * limits.heartbeat_seconds:
            self._fail(f"no frame and no heartbeat for {now - self._last_frame:.1f} s")
        self._subscriptions.check(now, is_locked=self.is_locked)
        silent = self._subscriptions.seconds_silent(now)
        if silent >= limits.data_silence_seconds and not self.is_locked:
            self._fail(f"connected, but no data for {silent:.1f} s")
        if self._refresh_at is not None and now >= self._refresh_at:
            self._log_in(now)
        if now >= self._clock_at:
            self._clock_at = now + _CLOCK_SECONDS
            self._send("public/get_time", {}, now)

    def outgoing(self, now: float) -> list[bytes]:
        """Return the frames to send now, as far as the credits go."""
        frames, self._ready = self._ready, []
        if not self._may_subscribe:
            return frames
        subscriptions = self._subscriptions
        while (names := subscriptions.to_leave()) and self._may_spend(now):
            frames.append(self._change("public/unsubscribe", names, now))
            subscriptions.leaving(names)
        while (names := subscriptions.to_join(now)) and self._may_spend(now):
            frames.append(self._change("public/subscribe", names, now))
            subscriptions.joining(names)
        return frames

    def events(self) -> list[Event]:
        """Return what happened since the last call."""
        events = self._events.copy()
        self._events.clear()
        return events

    # -- what the owner may ask ------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """Whether something is to be sent or told, so that the owner should not wait."""
        return bool(self._ready or self._events)

    @property
    def wanted(self) -> frozenset[str]:
        """Every channel that is asked for."""
        return frozenset(self._subscriptions.channels)

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
            for name, channel in self._subscriptions.channels.items()
        )

    @property
    def is_locked(self) -> bool:
        """Whether the exchange has locked a market or maintains itself: it may be silent."""
        return bool(self._locked)

    @property
    def is_refused(self) -> bool:
        """Whether every channel is refused: nothing more will come of this session."""
        channels = self._subscriptions.channels
        return bool(channels) and all(channel.refused for channel in channels.values())

    @property
    def unaccepted(self) -> dict[str, str]:
        """The channels that were never accepted on this socket, each with the reason."""
        return {
            name: channel.problem or "not answered"
            for name, channel in self._subscriptions.channels.items()
            if channel.accepted_at is None and channel.last_data is None
        }

    def credits(self, now: float) -> dict[str, float]:
        """Return the credits left by pool: subscribe, and other for every other call."""
        return {
            "subscribe": self._subscribe_credits.available(now),
            "other": self._other_credits.available(now),
        }

    def has_data(self, name: str) -> bool:
        """Tell whether a channel is wanted here and has spoken on this socket."""
        channel = self._subscriptions.channels.get(name)
        return channel is not None and channel.last_data is not None

    def silent_channels(self, seconds: float, now: float) -> list[tuple[str, float]]:
        """Return the tickers and indices without data for so long, with their last data's time."""
        return self._subscriptions.silent(seconds, now)

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

    def _may_spend(self, now: float) -> bool:
        return self._subscribe_credits.take(_SUBSCRIBE_PRICE, now)

    def _change(self, method: str, names: list[str], now: float) -> bytes:
        return self._request(method, {"channels": names}, now, tuple(names))

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
        self._subscriptions.take_data(name, data, now)
        family = family_of(name)
        if family is Family.TRADES:
            for hole in self._trades.take(data):
                detail = f"trade_seq {hole.first_seq} to {hole.last_seq}"
                self._events.append(Event("trades_missing", detail, (name,), hole))
        elif family is Family.LIFECYCLE:
            self._events.append(Event("lifecycle", name, (name,), bytes(data)))
            lock = lock_of(data) if name == "platform_state" else None
            if lock is not None:
                self._take_lock(lock[0], now, is_locked=lock[1])

    def _take_lock(self, market: str, now: float, *, is_locked: bool) -> None:
        if is_locked:
            self._locked.add(market)
        else:
            self._locked.discard(market)
            self._subscriptions.excuse_silence(now)
        self._events.append(Event("lock", market, (), is_locked))

    def _take_reply(self, request: Request, envelope: Envelope, now: float) -> None:
        if envelope.error is not None:
            self._take_error(request, envelope.error, now)
        elif request.method == "public/subscribe":
            self._take_accepted(request, envelope.result, now)
        elif request.method == "public/unsubscribe":
            self._subscriptions.left(request.channels)
        elif request.method == "public/auth":
            self._take_login(envelope.result, now)
        elif request.method == "public/get_time":
            self._take_clock(request, envelope, now)

    def _take_accepted(self, request: Request, result: msgspec.Raw, now: float) -> None:
        try:
            accepted = frozenset(msgspec.json.decode(result, type=list[str]))
        except msgspec.DecodeError:
            accepted = frozenset()
        self._subscriptions.accept(request.channels, accepted, now)

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
        if request.method == "public/unsubscribe":
            self._subscriptions.left(request.channels)
        else:
            self._subscriptions.answer_error(request.channels, rule.reaction, detail, now)

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
        measured = (middle_ms, halfway, round_trip_ms)
        self._events.append(Event("clock", f"{round_trip_ms:.1f} ms", (), measured))

    def _miss_reply(self, request: Request, now: float) -> None:
        if request.method == "public/auth":
            self._fail(f"no reply to the login within {_REPLY_SECONDS:.0f} s")
            return
        if request.method == "public/unsubscribe":
            self._subscriptions.left(request.channels)
        else:
            self._subscriptions.miss_reply(request.channels, now)

    def _fail(self, reason: str, *, final: bool = False) -> None:
        if self.failure is None:
            self.failure = reason
            self.failure_is_final = final

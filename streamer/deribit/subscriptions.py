"""Which channels a session has, wants and gives up: the state of each, without any I/O.

A channel is asked for, accepted, and then speaks.  Left out of a reply, refused, silent from the
start, silent later or broken in its chain, it is asked for anew; what cannot be cured is reported
once and left.  Before a channel is subscribed anew the reply to its unsubscribe is awaited, so that
late data of the old subscription is never taken for data of the new one.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streamer.deribit.channels import Family, family_of, repeats, speaks_at_once
from streamer.deribit.error_codes import Reaction
from streamer.deribit.sequences import BookChain, Link
from streamer.deribit.session_data import Channel, Event, SessionLimits

__all__ = ["Subscriptions"]

_LARGEST_RETRY_SECONDS = 60.0


class Subscriptions:
    """The channels of one session.

    Parameters
    ----------
    limits
        Patience and the size of a request.
    events
        Where refusals, mute channels and breaks are reported.
    """

    def __init__(self, limits: SessionLimits, events: list[Event]) -> None:
        self.channels: dict[str, Channel] = {}
        self._limits = limits
        self._events = events
        self._leaving: dict[str, None] = {}
        self._chunk = limits.channels_per_subscribe
        self._is_settled = False
        self.last_data: float | None = None

    def reset(self) -> None:
        """Forget all but what is wanted: the socket is a new one."""
        for name, channel in self.channels.items():
            self.channels[name] = _new_channel(name)
            # Still owed: a book that was broken is whole again with the first snapshot.
            self.channels[name].needs_snapshot = channel.needs_snapshot
        self._leaving.clear()
        self._chunk = self._limits.channels_per_subscribe
        self._is_settled = False
        self.last_data = None

    # -- what is wanted --------------------------------------------------------------------------

    def want(self, names: Iterable[str]) -> None:
        """Ask for channels; those wanted already are left alone, refused ones are tried anew."""
        for name in names:
            known = self.channels.get(name)
            if known is None or known.refused:
                self.channels[name] = _new_channel(name)
                self._is_settled = False

    def drop(self, names: Iterable[str], *, is_open: bool) -> None:
        """Stop wanting channels."""
        for name in names:
            if self.channels.pop(name, None) is not None and is_open:
                self._leaving[name] = None

    def renew(self, name: str) -> None:
        """Unsubscribe a channel and subscribe it again."""
        channel = self.channels[name]
        channel.accepted_at = None
        channel.is_leaving = True
        self._is_settled = False
        self._leaving[name] = None

    def to_leave(self) -> list[str]:
        """Return the channels to unsubscribe now, at most one request of them."""
        return list(self._leaving)[: self._chunk]

    def to_join(self, now: float) -> list[str]:
        """Return the channels to subscribe now, at most one request of them.

        Raw channels and others never share a request: without a login the exchange refuses the
        whole of it.
        """
        if self._is_settled:
            return []
        unsettled = [
            (name, channel)
            for name, channel in self.channels.items()
            if channel.accepted_at is None and not channel.refused
        ]
        self._is_settled = not unsettled
        waiting = [
            name
            for name, channel in unsettled
            if not (channel.in_flight or channel.is_leaving) and now >= channel.not_before
        ]
        if not waiting:
            return []
        is_raw = _is_raw(waiting[0])
        return [name for name in waiting if _is_raw(name) is is_raw][: self._chunk]

    def leaving(self, names: Iterable[str]) -> None:
        """Note that an unsubscribe was sent."""
        for name in names:
            self._leaving.pop(name, None)

    def joining(self, names: Iterable[str]) -> None:
        """Note that a subscribe was sent."""
        for name in names:
            self.channels[name].in_flight = True

    # -- what the exchange answers ---------------------------------------------------------------

    def left(self, names: Iterable[str]) -> None:
        """Note that an unsubscribe was answered, or will never be: subscribe again what is due."""
        for name in names:
            channel = self.channels.get(name)
            if channel is not None:
                channel.is_leaving = False

    def accept(self, asked: tuple[str, ...], accepted: frozenset[str], now: float) -> None:
        """Compare what was asked for with what was accepted."""
        for name in asked:
            channel = self.channels.get(name)
            if channel is None:
                continue
            channel.in_flight = False
            if name in accepted:
                channel.accepted_at = now
            elif channel.accepted_at is None:  # no data has come either
                self._retry(name, channel, "the exchange left it out of its reply", now)

    def answer_error(
        self, asked: tuple[str, ...], reaction: Reaction, detail: str, now: float
    ) -> None:
        """Take an error for all channels of a subscribe."""
        is_alone = len(asked) == 1
        if reaction is Reaction.SPLIT and not is_alone:
            self._chunk = max(1, len(asked) // 2)
        for name in asked:
            channel = self.channels.get(name)
            if channel is None:
                continue
            channel.in_flight = False
            gives_up = (
                reaction is Reaction.REFUSE
                or (reaction is Reaction.SPLIT and is_alone)
                or (reaction is Reaction.REFUSE_RAW and _is_raw(name))
            )
            if gives_up:
                self._refuse(name, channel, detail)
            elif reaction is not Reaction.SPLIT:
                self._retry(name, channel, detail, now, forever=True)

    def miss_reply(self, asked: tuple[str, ...], now: float) -> None:
        """Ask anew for what was neither answered nor has spoken."""
        for name in asked:
            channel = self.channels.get(name)
            if channel is not None and channel.in_flight:
                channel.in_flight = False
                if channel.accepted_at is None:
                    self._retry(name, channel, "no reply to subscribe", now, forever=True)

    def take_data(self, name: str, data: msgspec.Raw, now: float) -> None:
        """Note that a channel spoke, and follow the chain of a book."""
        self.last_data = now
        channel = self.channels.get(name)
        if channel is None or channel.is_leaving:
            return  # late data of a subscription that was ended
        before, channel.last_data = channel.last_data, now
        channel.is_mute = False
        if channel.accepted_at is None:  # data may come before the reply
            channel.accepted_at = now
        chain = channel.chain
        if chain is not None:
            link = chain.take(data)
            if link is Link.SNAPSHOT and channel.needs_snapshot:
                channel.needs_snapshot = False
                self._events.append(Event("book_whole", "a snapshot came", (name,)))
            elif link is Link.BROKEN and not channel.needs_snapshot:
                channel.needs_snapshot = True
                since = now if before is None else before
                self._events.append(Event("book_broken", chain.detail, (name,), since))
                self.renew(name)

    def excuse_silence(self, now: float) -> None:
        """Let the silence until now not count: the exchange was locked."""
        for channel in self.channels.values():
            if channel.last_data is not None:
                channel.last_data = now

    # -- what time brings ------------------------------------------------------------------------

    def check(self, now: float, *, is_locked: bool) -> None:
        """Subscribe anew what does not speak or has no snapshot; report what stays mute.

        While the exchange is locked a channel that has spoken may be silent.
        """
        limits = self._limits
        for name, channel in self.channels.items():
            if channel.accepted_at is None:
                continue
            waited = now - channel.accepted_at
            if channel.last_data is None or channel.needs_snapshot:
                if waited >= limits.first_data_seconds:
                    self._wait_no_longer(name, channel)
            elif (
                not is_locked
                and min(waited, now - channel.last_data) >= limits.channel_silence_seconds
                and repeats(name)
            ):
                self.renew(name)

    def seconds_silent(self, now: float) -> float:
        """Return for how long no channel that repeats itself has brought any data."""
        speaking = [
            channel.accepted_at
            for name, channel in self.channels.items()
            if channel.accepted_at is not None and not channel.is_mute and repeats(name)
        ]
        if not speaking:
            return 0.0
        return now - max(min(speaking), self.last_data or 0.0)

    def silent(self, seconds: float, now: float) -> list[tuple[str, float]]:
        """Return the channels that repeat themselves and did not for so long."""
        return [
            (name, channel.last_data)
            for name, channel in self.channels.items()
            if channel.last_data is not None
            and now - channel.last_data >= seconds
            and repeats(name)
        ]

    # -- inside ----------------------------------------------------------------------------------

    def _wait_no_longer(self, name: str, channel: Channel) -> None:
        if channel.needs_snapshot:
            self.renew(name)
        elif not channel.is_mute and speaks_at_once(name):
            channel.attempts += 1
            if channel.attempts < self._limits.attempts:
                self.renew(name)
                return
            channel.is_mute = True
            detail = f"accepted, but silent for {channel.attempts} attempts"
            self._events.append(Event("mute", detail, (name,)))

    def _retry(
        self, name: str, channel: Channel, detail: str, now: float, *, forever: bool = False
    ) -> None:
        channel.attempts += 1
        if channel.attempts >= self._limits.attempts and not forever:
            self._refuse(name, channel, detail)
            return
        channel.problem = detail
        channel.not_before = now + min(_LARGEST_RETRY_SECONDS, 0.5 * 2**channel.attempts)

    def _refuse(self, name: str, channel: Channel, detail: str) -> None:
        channel.refused = True
        channel.problem = detail
        self._events.append(Event("refused", detail, (name,)))


def _new_channel(name: str) -> Channel:
    return Channel(chain=BookChain() if family_of(name) is Family.BOOK else None)


def _is_raw(name: str) -> bool:
    return name.endswith(".raw")

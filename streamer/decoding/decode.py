"""From a frame to the rows it stands for, or to the reason why it cannot be stored.

Every frame is exactly one of three things: a *data message* (it became rows), a *control message*
(a reply, a heartbeat, a lifecycle event: it steered the collector), or a *dead letter* (it is kept
byte for byte with the reason).  Decoding depends on nothing but the frame and its receive time, so
that the same segment gives the same rows whenever it is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import msgspec
from msgspec import Raw, Struct

from streamer.decoding.rows import (
    LARGEST_DETAIL,
    InterestRow,
    NotStorableError,
    Row,
    book_row,
    check_time,
    grouped_row,
    quote_row,
)
from streamer.decoding.usual_tickers import NO_GREEKS, NO_STATS, UsualTickers
from streamer.deribit.channels import Family, family_of, instrument_of
from streamer.deribit.instruments import Kind, kind_of
from streamer.deribit.messages import (
    Book,
    BookSummary,
    Envelope,
    Greeks,
    GroupedBook,
    Index,
    Instrument,
    Interest,
    MarkPrice,
    Quote,
    RestAnswer,
    Stats,
    Ticker,
    Trade,
    TradesPage,
    Volatility,
    permissive,
)

__all__ = ["Decoded", "FrameDecoder", "Outcome"]


class Outcome(IntEnum):
    """What a frame is to the accounts."""

    DATA = 0
    CONTROL = 1
    DEAD = 2


class Decoded(Struct, gc=False):
    """What became of a frame."""

    outcome: Outcome
    channel: str = ""
    rows: list[Row] = []
    reason: str = ""
    detail: str = ""


_TICKER_TABLES = {
    Kind.OPTION: "options_quotes",
    Kind.FUTURE: "futures_prices",
    Kind.PERPETUAL: "futures_prices",
}
_CONTROL = Decoded(Outcome.CONTROL)


def _names(message_type: type[Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(message_type))


_NESTED = {"stats": _names(Stats), "greeks": _names(Greeks)}


class _Reader:
    """Reads one type of message: first as known, then without unknown fields, then leniently."""

    def __init__(self, message_type: type[Struct]) -> None:
        opened = permissive(message_type)
        self.known = msgspec.json.Decoder(message_type)
        self.opened = msgspec.json.Decoder(opened)
        self.lenient = msgspec.json.Decoder(opened, strict=False)
        self.names = _names(message_type)


class FrameDecoder:
    """Decodes frames and counts what was odd about them.

    Attributes
    ----------
    unknown_fields
        How often a field without a place in our tables was seen, by ``family.field``.
    lenient_messages
        How many messages had a number written as text, or the like, and were read all the same.
    """

    def __init__(self) -> None:
        self.unknown_fields: Counter[str] = Counter()
        self.lenient_messages = 0
        self._envelope = msgspec.json.Decoder(Envelope)
        self._rest = msgspec.json.Decoder(RestAnswer)
        self._array = msgspec.json.Decoder(list[Raw])
        self._keys = msgspec.json.Decoder(dict[str, Raw])
        self._instrument = msgspec.json.Decoder(Instrument, strict=False)
        self._summary = msgspec.json.Decoder(BookSummary, strict=False)
        self._page = msgspec.json.Decoder(TradesPage)
        self._readers = {
            Family.TICKER: _Reader(Ticker),
            Family.QUOTE: _Reader(Quote),
            Family.BOOK: _Reader(Book),
            Family.GROUPED_BOOK: _Reader(GroupedBook),
            Family.TRADES: _Reader(Trade),
            Family.PRICE_INDEX: _Reader(Index),
            Family.VOLATILITY_INDEX: _Reader(Volatility),
            Family.MARK_PRICES: _Reader(MarkPrice),
            Family.INTEREST: _Reader(Interest),
        }
        self._usual = UsualTickers()

    def decode_all(
        self, frames: Sequence[bytes], received_ns: Sequence[int]
    ) -> Iterator[Row | Decoded]:
        """Decode WebSocket frames, those of usual tickers several times as fast.

        Parameters
        ----------
        frames
            The payloads as received.
        received_ns
            When each was received.

        Returns
        -------
        iterator of Row or Decoded
            One for each frame: its row where the frame is a ticker as the exchange writes it, and
            what `decode` returns of every other frame.
        """
        return self._usual.decode_all(frames, received_ns, self.decode)

    def decode(self, frame: bytes, received_ns: int) -> Decoded:
        """Decode a WebSocket frame.

        Parameters
        ----------
        frame
            The payload as received.
        received_ns
            When it was received, nanoseconds since the epoch; a row may not be from its future.

        Returns
        -------
        Decoded
            Never raises for what a frame holds.
        """
        channel = ""
        try:
            envelope = self._envelope.decode(frame)
            params = envelope.params
            if envelope.method != "subscription" or params is None or params.channel is None:
                return self._not_data(envelope)
            channel = params.channel
            family = family_of(channel)
            self._remember(family, channel)
            rows = self._rows(family, channel, params.data, received_ns // 1_000_000)
        except NotStorableError as refusal:
            return Decoded(Outcome.DEAD, channel, [], refusal.reason, refusal.detail)
        except msgspec.ValidationError as error:
            return Decoded(Outcome.DEAD, channel, [], _reason(error), str(error)[:LARGEST_DETAIL])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            text = str(error)[:LARGEST_DETAIL]
            return Decoded(Outcome.DEAD, channel, [], "malformed", text)
        if rows is None:
            return _CONTROL
        return Decoded(Outcome.DATA, channel, rows)

    def _remember(self, family: Family, channel: str) -> None:
        """Know the frames of a ticker by their first bytes from now on."""
        if family is Family.TICKER:
            name = instrument_of(channel)
            table = _TICKER_TABLES.get(kind_of(name))
            if table is not None:
                self._usual.remember(channel, name, table)

    def decode_instruments(self, body: bytes) -> Decoded:
        """Decode the answer to ``get_instruments``, one row per instrument."""
        return self._rest_rows(
            body, lambda result: [self._instrument_row(raw) for raw in self._array.decode(result)]
        )

    def decode_trades(self, body: bytes, received_ns: int) -> Decoded:
        """Decode the answer to a REST call for trades."""
        received_ms = received_ns // 1_000_000
        return self._rest_rows(
            body,
            lambda result: self._trade_rows_of(self._page.decode(result).trades, received_ms),
        )

    def decode_book_summary(self, body: bytes, received_ns: int) -> Decoded:
        """Decode the answer to ``get_book_summary_by_currency``; combos and spot are left out."""
        received_ms = received_ns // 1_000_000
        return self._rest_rows(
            body,
            lambda result: [
                row
                for raw in self._array.decode(result)
                if (row := self._summary_row(raw, received_ms)) is not None
            ],
        )

    def _rest_rows(self, body: bytes, read: Callable[[Raw], list[Row]]) -> Decoded:
        try:
            answer = self._rest.decode(body)
            if answer.error is not None:
                detail = f"{answer.error.code} {answer.error.message}"[:LARGEST_DETAIL]
                return Decoded(Outcome.DEAD, "rest", [], "error_answer", detail)
            rows = read(answer.result)
        except NotStorableError as refusal:
            return Decoded(Outcome.DEAD, "rest", [], refusal.reason, refusal.detail)
        except msgspec.ValidationError as error:
            return Decoded(Outcome.DEAD, "rest", [], _reason(error), str(error)[:LARGEST_DETAIL])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Decoded(Outcome.DEAD, "rest", [], "malformed", str(error)[:LARGEST_DETAIL])
        return Decoded(Outcome.DATA, "rest", rows)

    def _not_data(self, envelope: Envelope) -> Decoded:
        if envelope.id is not None or envelope.error is not None:
            return _CONTROL
        if envelope.method == "heartbeat":
            return _CONTROL
        detail = f"method {envelope.method!r} without a channel"
        return Decoded(Outcome.DEAD, "", [], "unknown_message", detail)

    def _rows(self, family: Family, channel: str, data: Raw, received_ms: int) -> list[Row] | None:
        if family is Family.TICKER:
            return [self._ticker_row(data, received_ms)]
        if family is Family.TRADES:
            return self._trade_rows(data, received_ms)
        if family is Family.LIFECYCLE:
            return None
        if family is Family.MARK_PRICES:
            return self._mark_rows(data, received_ms)
        reader = self._readers.get(family)
        if reader is None:
            reason = "unsupported_channel" if family is Family.UNSUPPORTED else "unknown_channel"
            raise NotStorableError(reason, f"no table keeps {channel}")
        message = self._read(family, reader, data)
        check_time(message.timestamp, received_ms)
        table = {
            Family.PRICE_INDEX: "spot_prices",
            Family.VOLATILITY_INDEX: "volatility_index",
            Family.INTEREST: "perpetual_interest",
        }.get(family, "order_books")
        if family is Family.BOOK:
            message = book_row(message)
        elif family is Family.GROUPED_BOOK:
            message = grouped_row(message)
        elif family is Family.QUOTE:
            message = quote_row(message)
        elif family is Family.INTEREST:
            message = InterestRow(
                instrument_of(channel), message.timestamp, message.index_price, message.interest
            )
        return [Row(table, message, data)]

    def _ticker_row(self, data: Raw, received_ms: int) -> Row:
        reader = self._readers[Family.TICKER]
        try:
            ticker: Any = reader.known.decode(data)
        except msgspec.ValidationError:
            ticker = self._read(Family.TICKER, reader, data)
        return self._ticker_row_of(ticker, data, received_ms)

    def _ticker_row_of(self, ticker: Any, data: Raw, received_ms: int) -> Row:
        name = ticker.instrument_name
        table = _TICKER_TABLES.get(kind_of(name))
        if table is None:
            raise NotStorableError("unsupported_instrument", f"{kind_of(name)} {name}")
        check_time(ticker.timestamp, received_ms)
        if ticker.stats is None:
            ticker.stats = NO_STATS
        if ticker.greeks is None:
            ticker.greeks = NO_GREEKS
        return Row(table, ticker, data)

    def _mark_rows(self, data: Raw, received_ms: int) -> list[Row]:
        reader, rows = self._readers[Family.MARK_PRICES], []
        for raw in self._array.decode(data):
            mark = self._read(Family.MARK_PRICES, reader, raw)
            check_time(mark.timestamp, received_ms)
            rows.append(Row("mark_prices", mark, raw))
        return rows

    def _trade_rows(self, data: Raw, received_ms: int) -> list[Row]:
        return self._trade_rows_of(self._array.decode(data), received_ms)

    def _trade_rows_of(self, waiting: list[Raw], received_ms: int) -> list[Row]:
        reader = self._readers[Family.TRADES]
        rows = []
        while waiting:
            raw = waiting.pop(0)
            trade = self._read(Family.TRADES, reader, raw)
            check_time(trade.timestamp, received_ms)
            rows.append(Row("trades", trade, raw))
            # The parent of a combo brings its legs, which are trades of their own instruments.
            waiting[:0] = trade.legs or []
        return rows

    def _read(self, family: Family, reader: _Reader, data: Raw) -> Any:
        try:
            return reader.known.decode(data)
        except msgspec.ValidationError:
            pass
        try:
            message = reader.opened.decode(data)
        except msgspec.ValidationError:
            message = reader.lenient.decode(data)
            self.lenient_messages += 1
        self._count_unknown(str(family), reader.names, data)
        return message

    def _count_unknown(self, path: str, known: frozenset[str], data: Raw) -> None:
        for name, value in self._keys.decode(data).items():
            if name not in known:
                self.unknown_fields[f"{path}.{name}"] += 1
            elif name in _NESTED and bytes(value).startswith(b"{"):
                self._count_unknown(f"{path}.{name}", _NESTED[name], value)

    def _summary_row(self, raw: Raw, received_ms: int) -> Row | None:
        summary = self._summary.decode(raw)
        table = _TICKER_TABLES.get(kind_of(summary.instrument_name))
        if table is None:
            return None
        check_time(summary.creation_timestamp, received_ms)
        return Row(table, summary.as_ticker(), raw)

    def _instrument_row(self, raw: Raw) -> Row:
        instrument = self._instrument.decode(raw)
        if instrument.settlement_period == "perpetual" and instrument.kind == "future":
            instrument.kind = Kind.PERPETUAL
        if instrument.kind in (Kind.PERPETUAL, Kind.SPOT):
            instrument.expiration_timestamp = None  # the wire says the year 3000
        return Row("options_metadata", instrument, raw)


def _reason(error: msgspec.ValidationError) -> str:
    return "missing_field" if "missing required field" in str(error) else "wrong_type"

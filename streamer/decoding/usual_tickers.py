"""The tickers of a quiet wire, which are nearly all that a collector reads, in one pass each.

A usual ticker is one whose first bytes were read from a whole envelope before and whose last bytes
close it, so that the frame is sound JSON if its ``data`` is.  It is read straight into a row.  A
frame that differs in anything is left to `FrameDecoder.decode`, which also says what is wrong with
it; a test holds both ways to the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from streamer.decoding.rows import EARLIEST_MS, FUTURE_TOLERANCE_MS, Row
from streamer.deribit.messages import Greeks, Stats, Ticker

__all__ = ["NO_GREEKS", "NO_STATS", "UsualTickers"]

NO_STATS: Final = Stats()
NO_GREEKS: Final = Greeks()
Other = TypeVar("Other")
_MOST_CHANNELS: Final = 65_536
_BEGINS: Final = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
_DATA_FOLLOWS: Final = b'","data":'
_ENDS: Final = b"}}}"  # of the data, of the params and of the frame
_NOTHING: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class UsualTickers:
    """Knows channels by the first bytes of their frames."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(Ticker).decode
        self._known: dict[bytes, tuple[str, str]] = {}

    def remember(self, channel: str, instrument_name: str, table: str) -> None:
        """Know the frames of a channel from now on.

        Parameters
        ----------
        channel
            As it stood in an envelope that was read whole.
        instrument_name, table
            What its tickers are of, and where their rows belong.
        """
        if len(self._known) < _MOST_CHANNELS and _stands_as_it_is(channel):
            self._known[_BEGINS + channel.encode()] = (instrument_name, table)

    def decode_all(
        self,
        frames: Sequence[bytes],
        received_ns: Sequence[int],
        otherwise: Callable[[bytes, int], Other],
    ) -> Iterator[Row | Other]:
        """Yield the row of each usual ticker, and what another way makes of every other frame.

        Parameters
        ----------
        frames
            The payloads as received.
        received_ns
            When each was received, nanoseconds since the epoch; no row may be from its future.
        otherwise
            The other way: takes a frame and when it was received.
        """
        # One loop without a call that could be spared: a collector spends its time here.
        find, decode = self._known.get, self._decode
        latest_ms = min(received_ns, default=0) // 1_000_000 + FUTURE_TOLERANCE_MS
        for frame, received in zip(frames, received_ns, strict=True):
            begins, _, data = frame.partition(_DATA_FOLLOWS)
            known = find(begins)
            if known is not None and data[-3:] == _ENDS:
                data = data[:-2]
                try:
                    ticker: Any = decode(data)
                except _NOTHING:
                    yield otherwise(frame, received)
                    continue
                name, table = known
                if ticker.instrument_name == name and EARLIEST_MS <= ticker.timestamp <= latest_ms:
                    if ticker.stats is None:
                        ticker.stats = NO_STATS
                    if ticker.greeks is None:
                        ticker.greeks = NO_GREEKS
                    yield Row(table, ticker, data)
                    continue
            yield otherwise(frame, received)


def _stands_as_it_is(text: str) -> bool:
    """Tell whether JSON writes a text without an escape, so that its bytes can be compared."""
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text

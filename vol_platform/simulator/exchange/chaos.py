"""Faults put on notifications on their way out."""

from __future__ import annotations

import re
from collections.abc import Callable

from vol_platform.simulator.exchange.options import ChaosOptions
from vol_platform.simulator.market import noise

__all__ = ["ODDITIES", "concerns", "disturb", "is_reordered", "shifted"]

_STREAM = noise.stream_of("chaos")
_REORDER_STREAM = noise.stream_of("chaos reorder")
_DEPTH = 5_000
_LARGE = 200_000
_TIMESTAMP = re.compile(rb'"timestamp":(\d{13})')
_NUMBER = re.compile(rb'"(mark_price|price|volatility)":([0-9.e-]+)')


def _text_number(frame: bytes) -> bytes:
    return _NUMBER.sub(rb'"\1":"\2"', frame, count=1)


ODDITIES: dict[str, Callable[[bytes], bytes]] = {
    "invalid UTF-8": lambda frame: frame.replace(b'"data":', b'"d\xff\xfeta":', 1),
    "NaN": lambda frame: _NUMBER.sub(rb'"\1":NaN', frame, count=1),
    "null instrument": lambda frame: re.sub(
        rb'"instrument_name":"[^"]*"', b'"instrument_name":null', frame
    ),
    "text for a number": _text_number,
    "unknown channel": lambda frame: frame.replace(b'"channel":"', b'"channel":"next_year.', 1),
    "deep nesting": lambda frame: frame.replace(
        b'"data":', b'"deep":' + b"[" * _DEPTH + b"]" * _DEPTH + b',"data":', 1
    ),
    "very large": lambda frame: frame.replace(
        b'"data":', b'"large":"' + b"x" * _LARGE + b'","data":', 1
    ),
}
"""What `odd_share` does to a notification, by name; some stay readable."""


def concerns(chaos: ChaosOptions, channel: str) -> bool:
    """Tell whether the shares concern a channel."""
    return not chaos.only_channels or any(text in channel for text in chaos.only_channels)


def is_reordered(chaos: ChaosOptions, seed: int, connection: int, number: int) -> bool:
    """Tell whether the n-th notification of a connection leaves after the one that follows it."""
    if not chaos.reorder_share:
        return False
    draw = noise.uniform(seed, _REORDER_STREAM + connection, number)[()]
    return float(draw) < chaos.reorder_share


def shifted(frame: bytes, offset_ms: int) -> bytes:
    """Return the frame with its timestamps moved."""
    if not offset_ms:
        return frame
    return _TIMESTAMP.sub(
        lambda match: b'"timestamp":%d' % (int(match.group(1)) + offset_ms), frame
    )


def disturb(
    chaos: ChaosOptions, seed: int, connection: int, number: int, frame: bytes
) -> list[bytes]:
    """Return what really leaves for one notification: nothing, itself, or something damaged.

    Parameters
    ----------
    chaos
        The shares of each fault.
    seed, connection, number
        Decide the draw: the n-th notification of a connection meets the same fate in every run.
    frame
        The notification.
    """
    shares = (
        chaos.drop_share,
        chaos.duplicate_share,
        chaos.malformed_share,
        chaos.unknown_field_share,
        chaos.unknown_instrument_share,
        chaos.odd_share,
    )
    if not any(shares):
        return [frame]
    draw = float(noise.uniform(seed, _STREAM + connection, number)[()])
    fate = 0
    for share in shares:
        if draw < share:
            break
        draw -= share
        fate += 1
    match fate:
        case 0:
            return []
        case 1:
            return [frame, frame]
        case 2:
            return [frame[: len(frame) // 2]]
        case 3:
            return [
                frame.replace(b'"data":{', b'"data":{"field_of_next_year":{"nested":[1,2]},', 1)
            ]
        case 4:
            return [_rename(frame)]
        case 5:
            return [list(ODDITIES.values())[number % len(ODDITIES)](frame)]
        case _:
            return [frame]


def _rename(frame: bytes) -> bytes:
    """Return the frame about an instrument that is in no list."""
    start = frame.find(b'"instrument_name":"')
    if start < 0:
        return frame
    start += len(b'"instrument_name":"')
    name = frame[start : frame.index(b'"', start)]
    return frame.replace(name, b"BTC-31DEC99-1-C")

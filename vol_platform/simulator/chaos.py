"""Faults put on notifications on their way out."""

from __future__ import annotations

from vol_platform.simulator import noise
from vol_platform.simulator.options import ChaosOptions

__all__ = ["disturb"]

_STREAM = noise.stream_of("chaos")


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

"""What `platform_state` says: which markets the exchange has locked.

No frame of it was ever recorded, so every form that is documented or reported is read:
``{"price_index":"btc_usd","locked":true}`` and ``{"maintenance":true}``.
"""

from __future__ import annotations

import msgspec

__all__ = ["lock_of"]


class _State(msgspec.Struct):
    price_index: str = ""
    locked: bool | str | None = None
    maintenance: bool | str | None = None


_DECODER = msgspec.json.Decoder(_State)
_EVERYTHING = "*"


def lock_of(data: bytes | msgspec.Raw) -> tuple[str, bool] | None:
    """Return (index or ``*``, whether it is locked now); None when the message says neither.

    Examples
    --------
    >>> lock_of(b'{"price_index":"btc_usd","locked":true}')
    ('btc_usd', True)
    >>> lock_of(b'{"maintenance":false}')
    ('*', False)
    """
    try:
        state = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    said = state.locked if state.locked is not None else state.maintenance
    if said is None:
        return None
    return state.price_index or _EVERYTHING, said not in (False, "false")

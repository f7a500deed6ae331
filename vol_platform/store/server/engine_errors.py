"""Error codes of the engine and the HTTP status that ClickHouse gives each."""

from __future__ import annotations

import re

__all__ = ["EngineError", "engine_error", "http_status"]

_CODE = re.compile(r"Code: (\d+)")

# ClickHouse's own mapping; a code that is not here is a 500.
_STATUS = {
    400: "6 8 15 25 26 27 36 37 38 41 44 53 62 72 117 123 167 168 223 321 374 376 427 441 675 676",
    401: "194",
    403: "192 193 497 512 516",
    404: "46 47 50 56 60 63 73 78 81 115 152 336 511",
    408: "159",
    411: "381",
    413: "229",
    415: "779",
    501: "48",
    503: "76 209 439",
}
_STATUS_OF = {code: status for status, codes in _STATUS.items() for code in map(int, codes.split())}


class EngineError(Exception):
    """An error of the engine; the text begins with ``Code: N.`` as ClickHouse's does."""

    @property
    def code(self) -> int:
        """ClickHouse's number for this error; 0 when the text has none."""
        found = _CODE.search(str(self))
        return int(found[1]) if found else 0


def engine_error(error: BaseException) -> EngineError:
    """Return the engine's own text of a chDB exception, without the wrapper's words before it."""
    if isinstance(error, UnicodeDecodeError):
        text = error.object.decode("utf-8", "replace")
    else:
        text = str(error)
    start = text.find("Code: ")
    return EngineError(text[start:] if start >= 0 else f"Code: 1002. DB::Exception: {text}")


def http_status(code: int) -> int:
    """Return the HTTP status that ClickHouse answers with for an error code."""
    return _STATUS_OF.get(code, 500)

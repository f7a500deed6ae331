"""Error codes of the engine and the HTTP status that ClickHouse gives each."""

from __future__ import annotations

import re

__all__ = ["EngineError", "engine_error", "http_status"]

_CODE = re.compile(r"Code: (\d+)")

# The mapping of ClickHouse's HTTP handler, by error code.
_STATUS = {
    400: "6 26 27 38 41 42 43 53 62 69 70 72 85 86 115 131 144 148 164 169 184 190 298 321 349 373 "
    "395 452 456 457",
    403: "497 516",
    404: "36 46 47 60 81 107 218 372 482 511 570 578",
    408: "159 209",
    413: "191",
    501: "48",
    503: "202",
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
    text = str(error)
    start = text.find("Code: ")
    return EngineError(text[start:] if start >= 0 else f"Code: 1002. DB::Exception: {text}")


def http_status(code: int) -> int:
    """Return the HTTP status that ClickHouse answers with for an error code."""
    return _STATUS_OF.get(code, 500)

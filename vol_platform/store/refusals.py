"""What ClickHouse says of a wrong statement, cut to what helps to mend it."""

from __future__ import annotations

import re

__all__ = ["refusal_text"]

_ADDRESS = re.compile(r" \(for url \S+\)\s*\Z")
_LISTED = ". Expected one of: "
_SYNTAX_ERROR = ". (SYNTAX_ERROR)"
_TOKENS_SHOWN = 6


def refusal_text(message: str) -> str:
    """Return the useful part of the driver's message: ClickHouse's own text, without long lists.

    Parameters
    ----------
    message
        Text of a `ClickHouseError`.

    Returns
    -------
    str
        From ``Code: N.`` on, without the server's address. Of what a syntax error lists as
        expected at its place, at most the first six; everything else stays: position, token, rest
        of the statement, names that may have been meant, the error's name. A message that is not
        of the server comes back as it is.

    Examples
    --------
    >>> refusal_text("server response: Code: 47. DB::Exception: Unknown `a`. (X) (for url http://h)")
    'Code: 47. DB::Exception: Unknown `a`. (X)'
    """
    start = message.find("Code: ")
    if start < 0:
        return message
    text = _ADDRESS.sub("", message[start:])
    # The last one: the statement itself, which is repeated before it, may hold the same words.
    before, listed, after = text.rpartition(_LISTED)
    tokens, end, rest = after.partition(_SYNTAX_ERROR)
    if not (listed and end):
        return text
    names = tokens.split(", ")
    if len(names) > _TOKENS_SHOWN:
        names = [*names[:_TOKENS_SHOWN], "…"]
    return before + listed + ", ".join(names) + end + rest

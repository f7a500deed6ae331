"""The little SQL that ClickHouse's HTTP interface must understand, and no more.

The interface has to know three things about a statement before the engine sees it: where the text
of an ``INSERT`` ends and its data begins, which ``FORMAT`` the text asks for, and whether it names
a file of the server.  That takes a scan over words outside quotes, comments and brackets;
everything else is the engine's own parser's business.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

__all__ = ["Statement", "Word", "read_first_word", "read_statement", "words"]

_TOKEN = re.compile(
    rb"""
      (?P<skip>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<quoted>'(?:[^'\\]|\\.|'')*(?:'|\Z)
        | "(?:[^"\\]|\\.|"")*(?:"|\Z)
        | `(?:[^`\\]|\\.|``)*(?:`|\Z))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<other>[0-9][A-Za-z0-9_.]*|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Word:
    """A token outside brackets: its text (words in upper case) and its place."""

    text: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What the interface knows of a statement.

    Attributes
    ----------
    is_insert
        The statement takes data: ``INSERT … FORMAT f`` or ``INSERT … VALUES``.
    head
        Text before the format clause (and before the data of an insert).
    tail
        Text after the format clause of a query: a trailing ``SETTINGS`` clause, or nothing.
    format
        Name after ``FORMAT``, as written; None when the text names none.
    data_start
        Where the data of an insert begins in the text; None for anything else.
    first_word
        First word, in upper case; empty for an empty text.
    names_server_file
        The text has ``INTO OUTFILE`` or ``FROM INFILE``.
    """

    is_insert: bool
    head: bytes
    tail: bytes
    format: str | None
    data_start: int | None
    first_word: str
    names_server_file: bool


def words(text: bytes, stop_after: tuple[bytes, ...] = ()) -> list[Word]:
    """Return the tokens of `text` that stand outside brackets, comments left out.

    A word in `stop_after` ends the scan after the token that follows it, so that binary data
    behind an ``INSERT … FORMAT f`` is never looked at.
    """
    found: list[Word] = []
    depth = 0
    stopping = False
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "skip":
            continue
        token = match[0]
        if token in (b"(", b"[", b"{"):
            depth += 1
        elif token in (b")", b"]", b"}"):
            depth = max(depth - 1, 0)
        if depth and token not in (b"(", b"[", b"{"):
            continue
        if match.lastgroup == "word":
            token = token.upper()
        found.append(Word(token, match.start(), match.end()))
        if stopping:
            break
        stopping = depth == 0 and match.lastgroup == "word" and token in stop_after
    return found


def read_first_word(text: bytes) -> str:
    """Return the first word of a statement in upper case; empty when there is none."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "skip" and match[0] != b"(":
            return match[0].decode("latin-1").upper()
    return ""


def read_statement(text: bytes) -> Statement:
    """Find the format clause and, for an insert, the data, in one statement."""
    first_word = read_first_word(text)
    if first_word == "INSERT":
        insert = _read_insert(text)
        if insert is not None:
            return insert
    return _read_query(text, first_word)


def _read_insert(text: bytes) -> Statement | None:
    """Read ``INSERT … FORMAT f⏎data`` or ``INSERT … VALUES data``; None for ``… SELECT``."""
    tokens = words(text, stop_after=(b"FORMAT", b"VALUES", b"SELECT", b"WITH"))
    texts = [token.text for token in tokens]
    infile = b"INFILE" in texts
    for index, token in enumerate(tokens[1:], start=1):
        if token.text in (b"SELECT", b"WITH"):
            return None
        if token.text == b"VALUES":
            head = text[: token.start]
            return _insert(head, "Values", token.end, infile)
        if token.text == b"FORMAT" and index + 1 < len(tokens):
            name = tokens[index + 1]
            written = text[name.start : name.end].decode("latin-1")
            head = text[: token.start]
            if written.upper() == "VALUES":
                return _insert(head, "Values", name.end, infile)
            start = _after_line(text, name.end)
            return _insert(head, written, start, infile)
    if infile:
        return _insert(text, None, len(text), infile)
    end = _end_of(tokens)
    return _insert(text[:end], None, len(text), infile)


def _after_line(text: bytes, position: int) -> int:
    """Step over blanks and one line end: the engine's rule for where inline data begins."""
    while position < len(text) and text[position] in b" \t\r\x0b\x0c;":
        position += 1
    if text[position : position + 1] == b"\n":
        position += 1
    return position


def _end_of(tokens: list[Word]) -> int:
    """Return where the last token that is not a semicolon ends."""
    while tokens and tokens[-1].text == b";":
        tokens = tokens[:-1]
    return tokens[-1].end if tokens else 0


def _read_query(text: bytes, first_word: str) -> Statement:
    tokens = words(text)
    outfile = any(
        first.text == b"INTO" and second.text == b"OUTFILE"
        for first, second in itertools.pairwise(tokens)
    )
    end = _end_of(tokens)
    while tokens and tokens[-1].text == b";":
        tokens.pop()
    for index in range(len(tokens) - 2, 0, -1):
        if tokens[index].text != b"FORMAT":
            continue
        name = tokens[index + 1]
        follower = tokens[index + 2].text if index + 2 < len(tokens) else b""
        if re.fullmatch(rb"[A-Z_][A-Z0-9_]*", name.text) and follower in (b"", b"SETTINGS"):
            written = text[name.start : name.end].decode("latin-1")
            head, tail = text[: tokens[index].start], text[name.end : end]
            return _query(head, tail, written, first_word, outfile)
    return _query(text[:end], b"", None, first_word, outfile)


def _insert(head: bytes, format_name: str | None, data_start: int, infile: object) -> Statement:
    return Statement(
        is_insert=True,
        head=head,
        tail=b"",
        format=format_name,
        data_start=data_start,
        first_word="INSERT",
        names_server_file=bool(infile),
    )


def _query(
    head: bytes, tail: bytes, format_name: str | None, first_word: str, outfile: object
) -> Statement:
    return Statement(
        is_insert=False,
        head=head,
        tail=tail,
        format=format_name,
        data_start=None,
        first_word=first_word,
        names_server_file=bool(outfile),
    )

"""Reading one HTTP request into an engine request: URL, headers, form and body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from vol_platform.store.server.compression import Decoder, decoder
from vol_platform.store.server.engine_errors import EngineError
from vol_platform.store.server.engine_request import ExternalTable, Request, new_query_id
from vol_platform.store.server.statement import Statement, read_first_word, read_statement

__all__ = ["Body", "read_request"]

_MAX_STATEMENT_BYTES = 64 << 20

# The protocol's own parameters; any other is a setting.
_PROTOCOL = frozenset(
    [
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "query_id",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "compress",
        "decompress",
        "enable_http_compression",
        "stacktrace",
        "buffer_size",
        "wait_end_of_query",
        "quota_key",
        "role",
        "client_protocol_version",
    ]
)


class Body:
    """The body of a request, decompressed, as pieces that arrive; a prefix may be put back."""

    def __init__(self, http: HttpRequest) -> None:
        self._http = http
        self._put_back = b""
        self._source: AsyncIterator[bytes] | None = None
        self._ended = False

    def put_back(self, data: bytes) -> None:
        """Let `next` return `data` first."""
        self._put_back = data + self._put_back

    async def next(self) -> bytes:
        """Return the next piece; empty at the end.

        Raises
        ------
        ClientDisconnect
            The client left before the end.
        EngineError
            The body does not decompress.
        """
        if self._put_back:
            data, self._put_back = self._put_back, b""
            return data
        if self._ended:
            return b""
        if self._source is None:
            self._source = self._pieces()
        async for piece in self._source:
            return piece
        self._ended = True
        return b""

    async def _pieces(self) -> AsyncIterator[bytes]:
        encoding = self._http.headers.get("content-encoding", "").lower()
        unpack: Decoder | None = None
        if encoding and encoding != "identity":
            try:
                unpack = decoder(encoding)
            except ValueError as error:
                raise EngineError(
                    f"Code: 48. DB::Exception: Unknown Content-Encoding: {error}. (NOT_IMPLEMENTED)"
                ) from None
        async for piece in self._http.stream():
            data = piece
            if unpack is not None and piece:
                try:
                    data = unpack.decompress(piece)
                except Exception as error:  # noqa: BLE001 - each codec has its own exception class
                    raise EngineError(
                        f"Code: 354. DB::Exception: the body is not {encoding}: {error}. "
                        "(ZLIB_INFLATE_FAILED)"
                    ) from None
            if data:
                yield data

    async def rest(self, limit: int) -> bytes:
        """Return all that is left, at most `limit` bytes."""
        parts = []
        size = 0
        while piece := await self.next():
            parts.append(piece)
            size += len(piece)
            if size > limit:
                raise EngineError(
                    f"Code: 1. DB::Exception: a statement must be at most {limit} bytes, was more "
                    f"than {size}; "
                    "send data with INSERT … FORMAT. (UNSUPPORTED_METHOD)"
                )
        return b"".join(parts)

    async def discard(self) -> None:
        """Read the rest and forget it, so that a client that still sends gets the answer."""
        try:
            async for _ in self._http.stream():
                pass
        except (ClientDisconnect, RuntimeError):
            return

    def chunks_for_thread(self, loop: asyncio.AbstractEventLoop) -> Iterator[bytes]:
        """Iterate over the pieces from another thread; each waits for the loop to receive it."""
        while piece := asyncio.run_coroutine_threadsafe(self.next(), loop).result():
            yield piece


async def read_request(http: HttpRequest, body: Body) -> Request:
    """Read everything but the data of an insert.

    Raises
    ------
    EngineError
        With ClickHouse's code for what is wrong.
    """
    parameters = dict(http.query_params)
    external: tuple[ExternalTable, ...] = ()
    default_format = parameters.get("default_format") or http.headers.get("x-clickhouse-format")
    if http.headers.get("content-type", "").startswith("multipart/form-data"):
        external = await _read_form(http, parameters)
        text = parameters.get("query", "").encode()
        statement = read_statement(text)
    else:
        from_url = parameters.get("query", "").encode()
        statement, text = await _read_text(from_url, body, default_format or "Values")
    if not text.strip():
        raise EngineError("Code: 62. DB::Exception: Syntax error: Empty query. (SYNTAX_ERROR)")
    if parameters.get("compress") == "1" or parameters.get("decompress") == "1":
        raise EngineError(
            "Code: 48. DB::Exception: compress=1 and decompress=1 (the native block compression) "
            "are not "
            "spoken here; use Content-Encoding and enable_http_compression=1. (NOT_IMPLEMENTED)"
        )
    return Request(
        statement=statement,
        text=text,
        query_id=parameters.get("query_id") or new_query_id(),
        settings={
            name: value
            for name, value in parameters.items()
            if name not in _PROTOCOL
            and not name.startswith("param_")
            and not _describes_external(name, external)
        },
        parameters={
            name.removeprefix("param_"): value
            for name, value in parameters.items()
            if name.startswith("param_")
        },
        database=parameters.get("database") or http.headers.get("x-clickhouse-database", ""),
        default_format=default_format or "TabSeparated",
        session_id=parameters.get("session_id", ""),
        session_timeout_seconds=_session_timeout(parameters),
        session_must_exist=parameters.get("session_check") == "1",
        read_only=http.method in ("GET", "HEAD"),
        external=external,
    )


async def _read_text(from_url: bytes, body: Body, default_format: str) -> tuple[Statement, bytes]:
    """Return the statement; for an insert, leave its data in the body."""
    if from_url:
        statement = read_statement(from_url)
        if statement.is_insert:
            data = from_url[statement.data_start or 0 :] if statement.data_start else b""
            body.put_back(data)
            if statement.format is None:
                statement = _with_format(statement, default_format)
            return statement, from_url
        rest = await body.rest(_MAX_STATEMENT_BYTES)
        text = from_url + b"\n" + rest if rest else from_url
        return read_statement(text), text
    text = b""
    while piece := await body.next():
        text += piece
        if read_first_word(text) != "INSERT":
            text += await body.rest(_MAX_STATEMENT_BYTES)
            break
        statement = read_statement(text)
        if statement.is_insert and statement.format and (statement.data_start or 0) < len(text):
            body.put_back(text[statement.data_start or 0 :])
            return statement, text[: statement.data_start]
        if len(text) > _MAX_STATEMENT_BYTES:
            await body.rest(0)
    statement = read_statement(text)
    if statement.is_insert:
        body.put_back(text[statement.data_start or 0 :])
        if statement.format is None:
            statement = _with_format(statement, default_format)
    return statement, text


def _with_format(statement: Statement, format_name: str) -> Statement:
    return Statement(
        statement.is_insert,
        statement.head,
        statement.tail,
        format_name,
        statement.data_start,
        statement.first_word,
        statement.names_server_file,
    )


async def _read_form(http: HttpRequest, parameters: dict[str, str]) -> tuple[ExternalTable, ...]:
    """Add the form's fields to the parameters and return its files as external tables."""
    tables = []
    async with http.form(max_part_size=_MAX_STATEMENT_BYTES) as form:
        for name, value in form.multi_items():
            if isinstance(value, str):
                parameters |= {name: value}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                tables.append(
                    ExternalTable(
                        name=name,
                        structure=_structure(name, parameters),
                        format=parameters.get(f"{name}_format", "TabSeparated"),
                        data=await value.read(),
                    )
                )
    return tuple(tables)


def _structure(name: str, parameters: dict[str, str]) -> str:
    structure = parameters.get(f"{name}_structure")
    if structure:
        return structure
    types = parameters.get(f"{name}_types")
    if types:
        return ", ".join(
            f"_{number} {kind.strip()}" for number, kind in enumerate(types.split(","), start=1)
        )
    raise EngineError(
        f"Code: 36. DB::Exception: external table {name} needs {name}_structure or {name}_types. "
        "(BAD_ARGUMENTS)"
    )


def _describes_external(name: str, external: tuple[ExternalTable, ...]) -> bool:
    return any(
        name in (f"{table.name}_structure", f"{table.name}_types", f"{table.name}_format")
        for table in external
    )


def _session_timeout(parameters: dict[str, str]) -> float:
    given = parameters.get("session_timeout", "60")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise EngineError(
            "Code: 374. DB::Exception: Invalid session timeout: must be > 0 s and <= 3600 s, was "
            f"'{given}'. "
            "(INVALID_SESSION_TIMEOUT)"
        )
    return seconds

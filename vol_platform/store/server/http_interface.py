"""ClickHouse's HTTP interface as an ASGI application in front of the embedded engine.

The rules are ClickHouse's own: the statement comes in the URL, in the body or in a form; a URL
parameter that is not one of the protocol's own is a setting; errors carry their code in
``X-ClickHouse-Exception-Code`` and choose the status; an error after the first byte of a result
is written into the stream between ``__exception__`` markers, and the connection is closed without
the final chunk, so that no HTTP client takes the torn result for a whole one.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from base64 import b64decode
from binascii import Error as Base64Error
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import Message, Receive, Scope, Send

from vol_platform.store.server.compression import Encoder, choose_encoding, encoder
from vol_platform.store.server.engine import Engine
from vol_platform.store.server.engine_errors import EngineError, http_status
from vol_platform.store.server.engine_request import Outcome, Request
from vol_platform.store.server.pipe import ResultPipe
from vol_platform.store.server.request_reader import Body, read_request

__all__ = ["Credentials", "HttpInterface"]

_FIRST_CHUNK_BYTES = 1 << 20
_FIRST_CHUNK_SECONDS = 0.25
_WHOLE_RESULT_BYTES = 64 << 20
"""A result below the first size, or ready in time, gets exact headers and a clean error; with
``wait_end_of_query=1`` one below the second size, however long it takes."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one user of the embedded store."""

    user: str
    password: str

    def check(self, user: str, password: str) -> None:
        """Raise `EngineError` 516 unless both are right."""
        same_user = hmac.compare_digest(user.encode(), self.user.encode())
        same_password = hmac.compare_digest(password.encode(), self.password.encode())
        if not (same_user and same_password):
            raise EngineError(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, "
                "or there "
                "is no user with such name. (AUTHENTICATION_FAILED)"
            )


class HttpInterface:
    """The ASGI application.

    Parameters
    ----------
    engine
        The embedded engine.
    credentials
        Who may use it.
    threads
        Requests that run in the engine at the same time; further ones wait.
    server_name
        Answer of ``X-ClickHouse-Server-Display-Name``.
    """

    def __init__(
        self, engine: Engine, credentials: Credentials, threads: int, server_name: str
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._server_name = server_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, was asked for {scope['type']}")
        http = HttpRequest(scope, receive)
        path = http.url.path.rstrip("/")
        if path in ("/ping", "/replicas_status"):
            await _answer(send, 200, {}, b"Ok.\n")
        elif http.method not in ("GET", "POST", "HEAD"):
            await _answer(send, 405, {"Allow": "GET, HEAD, POST"}, b"use GET or POST\n")
        elif path not in ("", "/query"):
            await _answer(
                send, 404, {}, f"there is no {path} here; send statements to /\n".encode()
            )
        elif not http.query_params and http.method != "POST":
            await _answer(send, 200, {}, b"Ok.\n")
        else:
            await self._serve(http, receive, send)

    async def _serve(self, http: HttpRequest, receive: Receive, send: Send) -> None:
        headers = {
            "X-ClickHouse-Server-Display-Name": self._server_name,
            "X-ClickHouse-Timezone": self._engine.timezone,
        }
        body = Body(http)
        try:
            try:
                self._authenticate(http)
                request = await read_request(http, body)
            except EngineError as error:
                await body.discard()
                await _answer_error(send, headers, error)
                return
            headers["X-ClickHouse-Query-Id"] = request.query_id
            if "session_timezone" in request.settings:
                headers["X-ClickHouse-Timezone"] = request.settings["session_timezone"]
            if request.statement.is_insert:
                await self._insert(request, body, headers, send)
            else:
                await self._query(request, http, receive, headers, send)
        except ClientDisconnect:
            return

    def _authenticate(self, http: HttpRequest) -> None:
        user, password = http.query_params.get("user"), http.query_params.get("password")
        user = http.headers.get("x-clickhouse-user", user)
        password = http.headers.get("x-clickhouse-key", password)
        scheme, _, encoded = http.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, password = b64decode(encoded, validate=True).decode().partition(":")
            except (Base64Error, UnicodeDecodeError):
                raise EngineError(
                    "Code: 516. DB::Exception: Invalid HTTP Basic credentials: not base64. "
                    "(AUTHENTICATION_FAILED)"
                ) from None
        self._credentials.check(user or "default", password or "")

    # -- inserts ---------------------------------------------------------------------------------

    async def _insert(
        self, request: Request, body: Body, headers: dict[str, str], send: Send
    ) -> None:
        loop = asyncio.get_running_loop()
        chunks = body.chunks_for_thread(loop)
        try:
            outcome = await loop.run_in_executor(
                self._threads, self._engine.insert, request, chunks
            )
        except EngineError as error:
            await body.discard()
            await _answer_error(send, headers, error)
            return
        await _answer(send, 200, headers | _summary(outcome), b"")

    # -- queries ---------------------------------------------------------------------------------

    async def _query(
        self,
        request: Request,
        http: HttpRequest,
        receive: Receive,
        headers: dict[str, str],
        send: Send,
    ) -> None:
        loop = asyncio.get_running_loop()
        format_name = request.statement.format or request.default_format
        headers["X-ClickHouse-Format"] = format_name
        headers["Content-Type"] = _content_type(format_name)
        encoding = ""
        if http.query_params.get("enable_http_compression") in ("1", "true"):
            encoding = choose_encoding(http.headers.get("accept-encoding", ""))
        pipe = ResultPipe(loop)

        def run() -> Outcome:
            try:
                return self._engine.query(request, pipe.writer)
            finally:
                pipe.close_writer()

        running = loop.run_in_executor(self._threads, run)
        watcher = asyncio.create_task(self._kill_when_gone(receive, request.query_id))
        response = _Response(send, headers, encoding)
        try:
            whole = http.query_params.get("wait_end_of_query") in ("1", "true")
            finished = await (
                pipe.fill(_WHOLE_RESULT_BYTES, None)
                if whole
                else pipe.fill(_FIRST_CHUNK_BYTES, _FIRST_CHUNK_SECONDS)
            )
            if finished:
                try:
                    outcome = await running
                except EngineError as error:
                    await response.fail_at_once(error)
                else:
                    await response.answer(pipe, outcome)
                return
            await response.begin()
            while chunk := await pipe.read():
                await response.write(chunk)
            try:
                await running
            except EngineError as error:
                await response.fail_in_stream(error)
            else:
                await response.end()
        finally:
            watcher.cancel()
            if not running.done():
                await asyncio.to_thread(self._engine.kill, request.query_id)
                while await pipe.read():  # the engine stops only once its output is taken
                    pass
            with suppress(EngineError):
                await running
            pipe.close()

    async def _kill_when_gone(self, receive: Receive, query_id: str) -> None:
        """Stop the query when the client hangs up."""
        while (await receive())["type"] != "http.disconnect":
            pass
        await asyncio.to_thread(self._engine.kill, query_id)

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown(wait=True)


class _Response:
    """One response to a query, whole or streamed, compressed or not."""

    def __init__(self, send: Send, headers: dict[str, str], encoding: str) -> None:
        self._send = send
        self._headers = headers
        self._encoding = encoding
        self._encoder: Encoder | None = encoder(encoding) if encoding else None
        self._tag = secrets.token_hex(8)

    async def fail_at_once(self, error: EngineError) -> None:
        """Answer with the error alone."""
        await _answer_error(self._send, self._headers, error)

    async def answer(self, pipe: ResultPipe, outcome: Outcome) -> None:
        """Answer with the whole result and its exact summary."""
        headers = self._headers | _summary(outcome)
        if not outcome.has_result:
            headers.pop("X-ClickHouse-Format")
        if outcome.result_rows == 0 and pipe.buffered == 0:
            self._encoder = None
        if self._encoder is None:
            await _start(self._send, 200, headers | {"Content-Length": str(pipe.buffered)})
            while chunk := await pipe.read():
                await self._part(chunk, more=True)
            await self._part(b"", more=False)
            return
        await self._start_stream(headers)
        while chunk := await pipe.read():
            await self.write(chunk)
        await self.end()

    async def begin(self) -> None:
        """Start a streamed result."""
        progress = json.dumps({"read_rows": "0", "read_bytes": "0"})
        await self._start_stream(self._headers | {"X-ClickHouse-Summary": progress})

    async def _start_stream(self, headers: dict[str, str]) -> None:
        headers = headers | {"X-ClickHouse-Exception-Tag": self._tag}
        if self._encoder is not None:
            headers["Content-Encoding"] = self._encoding
        await _start(self._send, 200, headers)

    async def write(self, chunk: bytes) -> None:
        """Send a piece of the result."""
        if self._encoder is not None:
            chunk = await asyncio.to_thread(self._encoder.compress, chunk)
        if chunk:
            await self._part(chunk, more=True)

    async def end(self) -> None:
        """End a streamed result."""
        rest = self._encoder.flush() if self._encoder is not None else b""
        await self._part(rest, more=False)

    async def fail_in_stream(self, error: EngineError) -> None:
        """Write the error behind the rows that were sent, and leave the response unfinished.

        The web server closes the connection of a response that was never completed.
        """
        message = str(error).encode()
        block = b"\r\n__exception__\r\n%b\r\n%b\n%d %b\r\n__exception__\r\n" % (
            self._tag.encode(),
            message,
            len(message) + 1,
            self._tag.encode(),
        )
        await self.write(block)
        if self._encoder is not None:
            await self._part(self._encoder.flush(), more=True)

    async def _part(self, chunk: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})


def _summary(outcome: Outcome) -> dict[str, str]:
    text = json.dumps(
        {
            "read_rows": str(outcome.read_rows),
            "read_bytes": str(outcome.read_bytes),
            "written_rows": str(outcome.written_rows),
            "written_bytes": str(outcome.written_bytes),
            "total_rows_to_read": str(outcome.read_rows),
            "result_rows": str(outcome.result_rows),
            "result_bytes": str(outcome.written_bytes),
            "elapsed_ns": str(outcome.elapsed_nanoseconds),
        },
        separators=(",", ":"),
    )
    return {"X-ClickHouse-Summary": text, "X-ClickHouse-Progress": text}


def _content_type(format_name: str) -> str:
    if format_name.startswith("JSONEachRow") or format_name == "JSONLines":
        return "application/x-ndjson; charset=UTF-8"
    if format_name.startswith("JSON"):
        return "application/json; charset=UTF-8"
    if format_name.startswith("CSV"):
        return "text/csv; charset=UTF-8; header=" + (
            "present" if "Names" in format_name else "absent"
        )
    if format_name.startswith(("TSV", "TabSeparated")):
        return "text/tab-separated-values; charset=UTF-8"
    if format_name in ("Native", "RowBinary", "Arrow", "ArrowStream", "Parquet", "ORC", "Avro"):
        return "application/octet-stream"
    return "text/plain; charset=UTF-8"


async def _answer_error(send: Send, headers: dict[str, str], error: EngineError) -> None:
    extra = {
        "X-ClickHouse-Exception-Code": str(error.code),
        "Content-Type": "text/plain; charset=UTF-8",
    }
    if error.code == 516:
        extra["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    await _answer(send, http_status(error.code), headers | extra, f"{error}\n".encode())


async def _answer(send: Send, status: int, headers: dict[str, str], content: bytes) -> None:
    await _start(send, status, headers | {"Content-Length": str(len(content))})
    await send({"type": "http.response.body", "body": content, "more_body": False})


async def _start(send: Send, status: int, headers: dict[str, str]) -> None:
    if "Content-Type" not in headers:
        headers = headers | {"Content-Type": "text/plain; charset=UTF-8"}
    message: Message = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (name.lower().encode(), value.encode("latin-1", "replace"))
            for name, value in headers.items()
        ],
    }
    await send(message)

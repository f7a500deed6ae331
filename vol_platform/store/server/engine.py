"""The embedded engine: chDB connections, sessions, and running one request on one of them.

Each request gets a connection of its own (opening one takes about half a millisecond and isolates
its settings, its database and its temporary tables) and a thread of its own; a session keeps its
connection. Results leave the engine through a pipe, so that the engine writes any format as one
well-formed stream, waits when the client is slow, and nothing is held in memory.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb
from chdb._exceptions import ChdbError

from vol_platform.clock import monotonic_seconds
from vol_platform.store.server.engine_errors import EngineError, engine_error
from vol_platform.store.server.engine_request import (
    ExternalTable,
    Outcome,
    Request,
    quote,
    quote_name,
)

__all__ = ["Engine"]

# A setting without effect here (it names a queue of NATS or Redis table engines).  It is shown in
# system.processes, which lets the interface find and stop the query of one request: the engine
# gives every query an id of its own and takes none from outside.
QUERY_TAG = "stream_like_engine_insert_queue"

# chDB raises its own error from queries, RuntimeError from inserts, and UnicodeDecodeError when the
# engine's text quotes bytes that are no UTF-8
_ENGINE_FAILURES = (ChdbError, RuntimeError, UnicodeDecodeError)

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_QUERY_ID = re.compile(rb"\bquery_id\b")
_OUTFILE = "INTO OUTFILE '/dev/fd/{descriptor}' APPEND COMPRESSION 'none' FORMAT {format}"


@dataclass(slots=True)
class _Session:
    connection: Any
    lock: threading.Lock
    timeout_seconds: float
    expires: float


class Engine:
    """The engine on one data directory; safe to use from many threads.

    Parameters
    ----------
    directory
        Data directory; the caller holds its lock.
    configuration
        Engine configuration file (ClickHouse XML).
    """

    def __init__(self, directory: Path, configuration: Path) -> None:
        self._address = f"{directory}?config-file={configuration}"
        self._keeper = self._connect()  # the engine stays up while one connection is open
        self._sessions: dict[str, _Session] = {}
        self._guard = threading.Lock()
        version, timezone = self._scalars("SELECT version(), timezone()")
        self.version: str = version
        self.timezone: str = timezone

    def close(self) -> None:
        """Close every connection; the engine flushes and stops with the last one."""
        with self._guard:
            for session in self._sessions.values():
                session.connection.close()
            self._sessions.clear()
        with suppress(*_ENGINE_FAILURES):
            self._keeper.query("SYSTEM FLUSH LOGS")
        self._keeper.close()

    def kill(self, query_id: str) -> None:
        """Stop the query of one request, if it still runs."""
        connection = self._connect()
        try:
            connection.query(f"KILL QUERY WHERE Settings['{QUERY_TAG}'] = {quote(query_id)} ASYNC")
        finally:
            connection.close()

    def kill_all(self) -> None:
        """Stop every running query."""
        connection = self._connect()
        try:
            connection.query(f"KILL QUERY WHERE Settings['{QUERY_TAG}'] != '' ASYNC")
        finally:
            connection.close()

    def query(self, request: Request, descriptor: int) -> Outcome:
        """Run a statement; its result is written to the pipe behind `descriptor`.

        Raises
        ------
        EngineError
            The engine's own error, with its code.
        """
        with self._prepared(request) as connection:
            kind = self._classify(connection, request)
            if request.statement.names_server_file:
                raise _names_server_file()
            if kind == "READ_ONLY":
                return self._query_to_pipe(connection, request, descriptor)
            outcome = self._execute(connection, request, descriptor)
            outcome.has_result = outcome.result_rows > 0
            return outcome

    def insert(self, request: Request, chunks: Iterator[bytes]) -> Outcome:
        """Run an ``INSERT`` whose data arrives in `chunks`, in constant memory."""
        statement = request.statement
        if statement.names_server_file:
            raise _names_server_file()
        if request.read_only:
            raise _read_only()
        with self._prepared(request) as connection:
            try:
                inserter = connection.send_insert(
                    statement.head,
                    statement.format or request.default_format,
                )
            except _ENGINE_FAILURES as error:
                raise engine_error(error) from None
            done = False
            try:
                for chunk in chunks:
                    inserter.append(chunk)
                result = inserter.finish()
                done = True
            except _ENGINE_FAILURES as error:
                raise engine_error(error) from None
            finally:
                if not done:
                    with suppress(*_ENGINE_FAILURES):
                        inserter.cancel()
            return Outcome(
                read_rows=result.rows_written,
                read_bytes=result.bytes_written,
                written_rows=result.rows_written,
                written_bytes=result.bytes_written,
                result_rows=result.rows_written,
                elapsed_nanoseconds=int(result.elapsed * 1e9),
            )

    # -- one statement ---------------------------------------------------------------------------

    def _query_to_pipe(self, connection: Any, request: Request, descriptor: int) -> Outcome:
        statement = request.statement
        output = _OUTFILE.format(
            descriptor=descriptor, format=statement.format or request.default_format
        )
        text = b"%b\n%b %b" % (statement.head, output.encode(), statement.tail)
        try:
            return _outcome(connection.query(text))
        except _ENGINE_FAILURES as error:
            failure = engine_error(error)
            if failure.code != 62:
                raise failure from None
        # A syntax error would quote our own addition; asked again, the engine quotes the client's
        # text.
        return self._execute(connection, request, descriptor)

    def _execute(self, connection: Any, request: Request, descriptor: int) -> Outcome:
        format_name = request.statement.format or request.default_format
        text = request.text
        if request.statement.first_word == "KILL":
            text = _QUERY_ID.sub(f"Settings['{QUERY_TAG}']".encode(), text)
        try:
            result = connection.query(text, format_name)
        except _ENGINE_FAILURES as error:
            raise engine_error(error) from None
        _write_all(descriptor, result.bytes())
        return _outcome(result)

    def _classify(self, connection: Any, request: Request) -> str:
        report = connection._conn.classify_query(request.text)  # noqa: SLF001 - the wrapper does not pass it on
        if report["statement_count"] > 1:
            raise EngineError(
                "Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed): send "
                "one "
                f"statement a request, there were {report['statement_count']}. (SYNTAX_ERROR)"
            )
        kind = str(report["query_class"].name)
        if request.read_only and kind != "READ_ONLY" and request.statement.first_word != "SET":
            raise _read_only()
        return kind

    # -- connections -----------------------------------------------------------------------------

    def _connect(self) -> Any:
        return chdb.connect(self._address)  # type: ignore[no-untyped-call] # chDB ships no types

    def _scalars(self, text: str) -> list[str]:
        return bytes(self._keeper.query(text, "TSVRaw").bytes()).decode().strip().split("\t")

    @contextmanager
    def _prepared(self, request: Request) -> Iterator[Any]:
        """Give a connection with the request's database, settings and external tables."""
        with self._connection(request) as (connection, undo):
            try:
                restore = self._apply(connection, request) if undo else None
                if restore is None:
                    self._apply_settings(connection, request)
                try:
                    for table in request.external:
                        _load_external(connection, table)
                    yield connection
                finally:
                    if undo:
                        for table in request.external:
                            with suppress(*_ENGINE_FAILURES):
                                connection.query(
                                    f"DROP TEMPORARY TABLE IF EXISTS {quote_name(table.name)}"
                                )
                    if restore is not None:
                        restore()
            except _ENGINE_FAILURES as error:
                raise engine_error(error) from None

    def _apply_settings(self, connection: Any, request: Request) -> None:
        if request.database:
            connection.query(f"USE {quote_name(request.database)}")
        pairs = {QUERY_TAG: request.query_id, **request.settings}
        for name in pairs:
            if not _SETTING_NAME.match(name):
                raise EngineError(
                    f"Code: 115. DB::Exception: Unknown setting {name!r}: not a name. "
                    "(UNKNOWN_SETTING)"
                )
        # readonly last: it forbids every later change
        ordered = sorted(pairs.items(), key=lambda pair: pair[0] == "readonly")
        assignments = [f"{name} = {quote(value)}" for name, value in ordered]
        assignments[0:0] = [
            f"param_{name} = {quote(value)}" for name, value in request.parameters.items()
        ]
        connection.query("SET " + ", ".join(assignments))

    def _apply(self, connection: Any, request: Request) -> Callable[[], None]:
        """Apply one request's settings to a session; return what puts its own back."""
        names = ", ".join(quote(name) for name in (*request.settings, QUERY_TAG))
        # the names are quoted; the engine's embedded face has no other way to pass a list
        changed = f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})"  # noqa: S608 - see above
        before = connection.query(changed, "TSV")
        kept = dict(
            line.split("\t", 1) for line in bytes(before.bytes()).decode().splitlines() if line
        )
        database = (
            bytes(connection.query("SELECT currentDatabase()", "TSVRaw").bytes()).decode().strip()
        )
        self._apply_settings(connection, request)

        def restore() -> None:
            put_back = [
                f"{name} = '{kept[name]}'" if name in kept else f"{name} = DEFAULT"
                for name in (*request.settings, QUERY_TAG)
            ]
            with suppress(*_ENGINE_FAILURES):
                connection.query("SET " + ", ".join(put_back))
            if request.database and request.statement.first_word != "USE":
                with suppress(*_ENGINE_FAILURES):
                    connection.query(f"USE {quote_name(database)}")

        return restore

    @contextmanager
    def _connection(self, request: Request) -> Iterator[tuple[Any, bool]]:
        """Give a connection and whether it outlives the request (a session's)."""
        self.expire_sessions()
        if not request.session_id:
            connection = self._connect()
            try:
                yield connection, False
            finally:
                connection.close()
            return
        session = self._session(request)
        if not session.lock.acquire(blocking=False):
            raise EngineError(
                f"Code: 373. DB::Exception: Session {request.session_id} is locked by a "
                "concurrent client. "
                "(SESSION_IS_LOCKED)"
            )
        try:
            yield session.connection, True
        finally:
            session.expires = monotonic_seconds() + session.timeout_seconds
            session.lock.release()

    def _session(self, request: Request) -> _Session:
        with self._guard:
            session = self._sessions.get(request.session_id)
            if session is None:
                if request.session_must_exist:
                    raise EngineError(
                        f"Code: 372. DB::Exception: Session {request.session_id} not found. "
                        "(SESSION_NOT_FOUND)"
                    )
                session = _Session(self._connect(), threading.Lock(), 0.0, float("inf"))
                self._sessions[request.session_id] = session
            session.timeout_seconds = request.session_timeout_seconds
            session.expires = float("inf")
            return session

    def expire_sessions(self) -> None:
        """Close sessions whose time is up."""
        now = monotonic_seconds()
        with self._guard:
            old = [name for name, session in self._sessions.items() if session.expires < now]
            for name in old:
                self._sessions.pop(name).connection.close()


def _read_only() -> EngineError:
    return EngineError(
        "Code: 164. DB::Exception: Cannot execute query in readonly mode: a GET only reads, "
        "use POST. (READONLY)"
    )


def _names_server_file() -> EngineError:
    return EngineError(
        "Code: 48. DB::Exception: INTO OUTFILE and FROM INFILE name files of the server and are "
        "not allowed over HTTP; send or receive the data in the body. (NOT_IMPLEMENTED)"
    )


def _outcome(result: Any) -> Outcome:
    return Outcome(
        read_rows=result.storage_rows_read(),
        read_bytes=result.storage_bytes_read(),
        written_rows=result.rows_written(),
        written_bytes=result.bytes_written(),
        result_rows=result.rows_read(),
        elapsed_nanoseconds=int(result.elapsed() * 1e9),
    )


def _load_external(connection: Any, table: ExternalTable) -> None:
    connection.query(f"CREATE TEMPORARY TABLE {quote_name(table.name)} ({table.structure})")
    inserter = connection.send_insert(f"INSERT INTO {quote_name(table.name)}", table.format)
    try:
        inserter.append(table.data)
        inserter.finish()
    except RuntimeError as error:
        raise engine_error(error) from None


def _write_all(descriptor: int, data: Mapping[int, int] | bytes) -> None:
    view = memoryview(data)  # type: ignore[arg-type]
    while view:
        view = view[os.write(descriptor, view) :]

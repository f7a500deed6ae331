"""The embedded store as a process: ``python -m vol_platform.store.server --data DIR --port N``.

A real ClickHouse engine on one directory behind ClickHouse's own HTTP interface on loopback; see
`docs/embedded_store.md` for what it speaks.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from vol_platform.errors import PortInUseError, SettingsError, VolError
from vol_platform.store.server.data_directory import open_data_directory

__all__ = ["main", "serve"]

_SHUTDOWN_SECONDS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the store until SIGTERM or SIGINT; return the exit status.

    Parameters
    ----------
    arguments
        Command line without the program's name; None takes ``sys.argv``.
    """
    parser = argparse.ArgumentParser(prog="vol store", description="The embedded ClickHouse store.")
    parser.add_argument("--data", type=Path, required=True, help="data directory")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8123, help="port; 0 takes a free one (8123)")
    parser.add_argument("--user", default="default", help="name of the one user (default)")
    parser.add_argument("--password-file", type=Path, help="file whose first line is the password")
    parser.add_argument("--threads", type=int, default=32, help="requests run at once (32)")
    options = parser.parse_args(arguments)
    try:
        password = _read_password(options.password_file)
        serve(
            options.data,
            host=options.host,
            port=options.port,
            user=options.user,
            password=password,
            threads=options.threads,
        )
    except VolError as error:
        print(f"vol store: {error}", file=sys.stderr)  # noqa: T201 - the one line of a failed start
        return 1
    return 0


def serve(
    data: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8123,
    user: str = "default",
    password: str = "",
    threads: int = 32,
) -> None:
    """Serve the store on `data` until SIGTERM or SIGINT, then finish running requests and stop.

    Raises
    ------
    StoreLockedError
        Another process has the directory.
    StoreError
        The directory cannot be created or written.
    PortInUseError
        The port is taken.
    """
    with _listen(host, port) as listener, open_data_directory(data) as directory:
        # chDB is loaded late, so that a refused start is quick, and must not catch our signals.
        from chdb import _chdb

        _chdb.set_signal_handlers_enabled(0)  # type: ignore[attr-defined] # compiled, no types
        from vol_platform.store.server.engine import Engine
        from vol_platform.store.server.http_interface import Credentials, HttpInterface

        engine = Engine(directory.engine_path, directory.configuration)
        interface = HttpInterface(
            engine, Credentials(user, password), threads, socket.gethostname()
        )
        configuration = uvicorn.Config(
            interface,
            access_log=False,
            log_level="warning",
            lifespan="off",
            http="httptools",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            server_header=False,
        )
        # an unfinished response is how a failed query ends; its client was told why
        logging.getLogger("uvicorn.error").addFilter(
            lambda record: "without completing response" not in record.getMessage()
        )
        address = f"http://{host}:{listener.getsockname()[1]}"
        directory.announce(address)
        try:
            server = _Server(configuration, f"{address} engine={engine.version} data={data}")
            new_loop = configuration.get_loop_factory()
            with _quiet_signals(), asyncio.Runner(loop_factory=new_loop) as runner:
                runner.run(server.serve(sockets=[listener]))
        finally:
            engine.kill_all()
            interface.close()
            engine.close()


class _Server(uvicorn.Server):
    """uvicorn that says in one line when it is ready."""

    def __init__(self, configuration: uvicorn.Config, ready: str) -> None:
        super().__init__(configuration)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the ready line."""
        await super().startup(sockets)
        print(f"vol store ready at {self._ready}", flush=True)  # noqa: T201 - supervisors wait for it


@contextmanager
def _quiet_signals():  # type: ignore[no-untyped-def]
    """Let uvicorn stop on SIGTERM and SIGINT without the signal being raised again afterwards."""
    previous = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _listen(host: str, port: int):  # type: ignore[no-untyped-def]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named so that the event loop knows it is TCP and switches Nagle's delay off
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            raise PortInUseError(
                f"cannot listen on {host}:{port}: {error.strerror}; stop what uses the port or "
                "choose "
                "another (--port, VOL_CLICKHOUSE__PORT)"
            ) from None
        yield listener
    finally:
        listener.close()


def _read_password(file: Path | None) -> str:
    if file is None:
        from vol_platform.settings import load_settings

        return load_settings().clickhouse.password.get_secret_value()
    try:
        return file.read_text(encoding="utf-8").split("\n", 1)[0]
    except OSError as error:
        raise SettingsError(
            f"cannot read the password file {file}: {error.strerror}; correct --password-file"
        ) from None

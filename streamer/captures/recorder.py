"""Captures: messages of the exchange written to a file, live or from the archive."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import zstandard

from streamer.clock import Clock
from streamer.deribit.sequences import TradeWatch
from streamer.deribit.session_data import Event
from streamer.errors import CaptureError
from streamer.feed.catalogue import Catalogue
from streamer.feed.connection import Connection
from streamer.feed.listing import Lister
from streamer.feed.rest import RestClient
from streamer.feed.sockets import Sockets
from streamer.log import logger
from streamer.settings import StreamerSettings
from streamer.spool.archive import read_archive
from streamer.spool.segment import RecordKind
from streamer.tasks import end_tasks

__all__ = ["CaptureFile", "Recorder", "export_archive"]

_log = logger(__name__)
_METHODS = {
    RecordKind.INSTRUMENTS: "get_instruments",
    RecordKind.TRADES: "get_last_trades_by_instrument",
    RecordKind.BOOK_SUMMARY: "get_book_summary_by_currency",
}


class CaptureFile:
    """A capture being written; it gets its name when it is closed.

    Parameters
    ----------
    path
        With ``.zst`` or ``.gz`` it is compressed.
    rest_url
        Stands before the answers to REST calls.

    Raises
    ------
    CaptureError
        The file cannot be written.
    """

    def __init__(self, path: Path, rest_url: str) -> None:
        self.messages = 0
        self._path = path
        self._rest_url = rest_url
        self._draft = path.with_name(f".{path.name}.open")
        try:
            self._stream = _opened(self._draft, path.suffix)
        except OSError as error:
            raise CaptureError(f"capture {path} cannot be written: {error}") from None

    def add(self, kind: int, received_ns: int, payload: bytes) -> None:
        """Write one message, byte for byte; a gap event of our own is left out.

        Raises
        ------
        CaptureError
            The disk does not take it.
        """
        if kind == RecordKind.GAP:
            return
        seconds = f"{received_ns // 10**9}.{received_ns % 10**9:09d}"
        if kind != RecordKind.FRAME:
            url = f"{self._rest_url}/public/{_METHODS[RecordKind(kind)]}"
            line = f"{url} -> {seconds}: ".encode() + payload
        elif b"\n" in payload or payload.endswith(b"\r"):
            # A line cannot hold it as it is; bytes that are no text at all are replaced.
            text = json.dumps(payload.decode(errors="replace"))
            line = f'{{"t":"recv","ts":{seconds},"data":{text}}}'.encode()
        else:
            line = f"{seconds}: ".encode() + payload
        try:
            self._stream.write(line + b"\n")
        except OSError as error:
            raise CaptureError(f"capture {self._path} cannot be written: {error}") from None
        self.messages += 1

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._stream.close()
        self._draft.rename(self._path)


class Recorder:
    """Records the exchange without a database.

    Parameters
    ----------
    settings
        Addresses, key, and what to subscribe to.
    clock
        Where the time comes from.
    file
        Where messages go.
    channels
        Exactly these; None takes what the list of instruments gives.
    """

    def __init__(
        self,
        settings: StreamerSettings,
        clock: Clock,
        file: CaptureFile,
        *,
        channels: list[str] | None = None,
    ) -> None:
        self._clock = clock
        self._file = file
        self._channels = channels
        self._connection_id = 0
        self._rest = RestClient(settings.rest_url, clock)
        self._sockets = Sockets(
            settings, self, clock=clock, seed=clock.wall_ns(), once=False, trades=TradeWatch()
        )
        self._lister = Lister(
            settings,
            self._rest,
            Catalogue(settings),
            keep=self._take_body,
            on_channels=None if channels is not None else self._sockets.assign,
            clock=clock,
        )

    async def run(self, seconds: float) -> None:
        """Record for so long.

        Raises
        ------
        ExchangeError
            The exchange refuses for good.
        CaptureError
            The disk does not take it.
        """
        if self._channels is not None:
            self._sockets.assign(self._channels)
        lister = asyncio.create_task(self._lister.run())
        try:
            end = self._clock.monotonic() + seconds
            while (left := end - self._clock.monotonic()) > 0:
                tasks = {lister, *self._sockets.tasks}
                done, _ = await asyncio.wait(
                    tasks, timeout=min(left, 0.5), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()  # raises what ended it
        finally:
            tasks = {lister, *self._sockets.tasks}
            await end_tasks(tasks)
            await self._rest.close()

    def take_frames(self, frames: list[bytes], received_ns: int, connection_id: int) -> None:
        """Write frames the moment they are read."""
        del connection_id
        for frame in frames:
            self._file.add(RecordKind.FRAME, received_ns, frame)

    def take_event(self, connection: Connection, event: Event) -> None:
        """List anew when the instruments change; say what is not recorded."""
        if event.kind == "lifecycle":
            self._lister.list_soon()
        elif event.kind in ("refused", "mute", "book_broken", "trades_missing"):
            _log.warning(
                event.kind,
                connection=connection.number,
                channels=event.channels,
                detail=event.detail,
            )

    def connection_lost(self, connection: Connection, cause: str, detail: str) -> None:
        """Say that messages are missing."""
        _log.warning("connection_lost", connection=connection.number, cause=cause, detail=detail)

    def connection_complete(self, connection: Connection) -> None:
        """Say that data flows."""
        _log.info("data_on_every_channel", connection=connection.number)

    def next_connection_id(self) -> int:
        """Return a number that no socket of this recording had."""
        self._connection_id += 1
        return self._connection_id

    def _take_body(self, kind: RecordKind, body: bytes) -> bool:
        self._file.add(kind, self._clock.wall_ns(), body)
        return True


def export_archive(hours: Iterable[Path], file: CaptureFile) -> None:
    """Write hours of the archive as a capture.

    Raises
    ------
    CaptureError
        An hour cannot be read, or the disk does not take it.
    """
    for hour in hours:
        for record in read_archive(hour):
            file.add(record.kind, record.received_ns, record.payload)


def _opened(path: Path, suffix: str) -> IO[bytes] | gzip.GzipFile:
    if suffix == ".gz":
        return gzip.open(path, "wb")
    if suffix == ".zst":
        return zstandard.ZstdCompressor(level=3).stream_writer(path.open("wb"), closefd=True)
    return path.open("wb")

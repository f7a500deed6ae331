"""The pipe through which a result leaves the engine.

The engine's thread writes and blocks while the pipe is full; the event loop reads when the client
has taken what was sent before.  So a slow client slows its own query and holds no memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections import deque
from contextlib import suppress

__all__ = ["ResultPipe"]

_PIPE_BYTES = 1 << 20
_READ_BYTES = 1 << 18


class ResultPipe:
    """A pipe whose read end belongs to an event loop.

    Attributes
    ----------
    writer
        File descriptor that the engine writes to.
    buffered
        Bytes taken from the pipe by `fill` and not yet by `read`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader, self.writer = os.pipe()
        with suppress(AttributeError, OSError):  # Linux only, and limited for unprivileged users
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._reader, False)
        self._writer_open = True
        self._writer_lock = threading.Lock()
        self._chunks: deque[bytes] = deque()
        self.buffered = 0
        self._ended = False

    async def fill(self, limit_bytes: int, limit_seconds: float | None) -> bool:
        """Take what comes until the end, the size or the time; True when the end was reached."""
        try:
            async with asyncio.timeout(limit_seconds):
                while not self._ended and self.buffered < limit_bytes:
                    chunk = await self._take()
                    if chunk:
                        self._chunks.append(chunk)
                        self.buffered += len(chunk)
        except TimeoutError:
            # a query without a first byte yet may still end in a clean error: wait for that byte
            if not self.buffered and not self._ended:
                chunk = await self._take()
                if chunk:
                    self._chunks.append(chunk)
                    self.buffered += len(chunk)
        return self._ended

    async def read(self) -> bytes:
        """Return the next piece; empty at the end."""
        if self._chunks:
            chunk = self._chunks.popleft()
            self.buffered -= len(chunk)
            return chunk
        return b"" if self._ended else await self._take()

    async def _take(self) -> bytes:
        while True:
            try:
                chunk = os.read(self._reader, _READ_BYTES)
            except BlockingIOError:
                await self._readable()
                continue
            if not chunk:
                self._ended = True
            return chunk

    async def _readable(self) -> None:
        ready = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        self._loop.add_reader(self._reader, wake)
        try:
            await ready
        finally:
            self._loop.remove_reader(self._reader)

    def close_writer(self) -> None:
        """Mark the end of the result; called by the engine's thread."""
        with self._writer_lock:
            if self._writer_open:
                self._writer_open = False
                os.close(self.writer)

    def close(self) -> None:
        """Close the read end; the writer must be closed already."""
        os.close(self._reader)

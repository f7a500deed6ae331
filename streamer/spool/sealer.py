"""What the spool does on time beside the event loop: flush, roll, seal and sync."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from streamer.settings import SpoolSettings
from streamer.spool.spool import OpenSegment, Spool

__all__ = ["Sealer"]


class Sealer:
    """Seals the segments of a spool when they are due; waits for the disk in a thread of its own.

    Parameters
    ----------
    spool
        Whose segments.
    settings
        How often.
    on_sealed
        Called in that thread after each attempt to seal a segment.
    """

    def __init__(
        self, spool: Spool, settings: SpoolSettings, on_sealed: Callable[[OpenSegment], None]
    ) -> None:
        self._spool = spool
        self._settings = settings
        self._on_sealed = on_sealed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="seal")

    async def keep_flushing(self) -> None:
        """Hand frames to the system every few milliseconds and seal segments that are due."""
        loop = asyncio.get_running_loop()
        pause = self._settings.flush_milliseconds / 1000
        while True:
            await asyncio.sleep(pause)
            self._spool.flush()
            if self._spool.should_roll():
                segment = self._spool.roll()
                if segment is not None:
                    loop.run_in_executor(self._thread, self._seal, segment)

    async def keep_syncing(self) -> None:
        """Force what was flushed to the disk itself, against loss of power."""
        loop = asyncio.get_running_loop()
        pause = self._settings.sync_milliseconds / 1000
        while True:
            await asyncio.sleep(pause)
            with suppress(OSError):  # the segment may have been sealed meanwhile, which syncs too
                await loop.run_in_executor(self._thread, self._spool.sync)

    async def seal_last(self) -> None:
        """Seal what is open."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._seal_open)

    def close(self) -> None:
        """Wait for what is being sealed."""
        self._thread.shutdown()

    def _seal_open(self) -> None:
        segment = self._spool.roll()
        if segment is not None:
            self._seal(segment)

    def _seal(self, segment: OpenSegment) -> None:
        self._spool.seal(segment)
        self._on_sealed(segment)

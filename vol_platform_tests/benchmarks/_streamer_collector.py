"""A collector that measures itself: ``python -m …_streamer_collector JSON`` prints one JSON line.

The argument holds the collector's settings and ``messages``: how many are awaited.  With
``sealed_only`` it ends when the last of them is in a sealed segment, else when the database has
acknowledged all.  With ``lags_file`` every message's lag until it was queryable goes there.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import pstats
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamer.clock import SYSTEM_CLOCK
from streamer.collector import Collector
from streamer.database.writer import Written
from streamer.log import configure
from streamer.observe.lags import LagHistogram
from streamer.process import tune_process
from streamer.settings import StreamerSettings
from streamer.spool.spool import OpenSegment

_SLOW = 6


class ExactLags(LagHistogram):
    """Keeps every lag, where the collector's own histogram keeps buckets."""

    def __init__(self) -> None:
        super().__init__()
        self._each: list[npt.NDArray[np.float64]] = []

    def add(self, seconds: float, messages: int) -> None:
        """Keep a lag that messages share."""
        super().add(seconds, messages)
        self._each.append(np.full(messages, seconds))

    def add_each(self, seconds: npt.NDArray[np.float64]) -> None:
        """Keep lags."""
        super().add_each(seconds)
        self._each.append(seconds)

    def quantile(self, share: float) -> float:
        """Return the lag that a share of the messages does not exceed; NaN without messages."""
        return float(np.quantile(np.concatenate(self._each), share)) if self._each else np.nan


class FiledLags(LagHistogram):
    """Writes every lag to a file, so that a long run's memory is the collector's own.

    The file holds pairs of float64: receive time since the epoch and lag, seconds.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - open as long as the process lives

    def add_each(self, seconds: npt.NDArray[np.float64]) -> None:
        """Write lags of messages that are queryable now."""
        super().add_each(seconds)
        np.column_stack([time.time() - seconds, seconds]).tofile(self._file)


class Measured(Collector):
    """Notes when the first message came and when the last was sealed."""

    messages = 0
    seen = 0
    sealed = 0
    sealed_only = False
    begun = 0.0
    cpu_begun = 0.0
    sealed_at = 0.0
    sealed_cpu = 0.0
    slow: list[tuple[str, float, float]]
    loop: asyncio.AbstractEventLoop

    def take_frames(self, frames: list[bytes], received_ns: int, connection_id: int) -> None:
        """Count, and take them."""
        if len(frames) > 1 or len(frames[0]) > 400:  # a ticker, no reply
            if not self.begun:
                self.begun, self.cpu_begun = time.monotonic(), time.process_time()
            self.seen += len(frames)
        super().take_frames(frames, received_ns, connection_id)

    def _sealed(self, segment: OpenSegment) -> None:
        super()._sealed(segment)
        self._note("open until sealed", time.monotonic() - segment.opened_at)
        self.sealed += segment.messages
        if self.sealed >= self.messages and not self.sealed_at:
            self.sealed_at, self.sealed_cpu = time.monotonic(), time.process_time()
            if self.sealed_only:
                self._stop_soon()

    def _segment_written(self, written: Written) -> None:
        super()._segment_written(written)
        self._note("insert", written.seconds)

    def _note(self, what: str, seconds: float) -> None:
        """Keep the slowest steps, with the second of the run in which they ended."""
        at = time.monotonic() - self.begun
        self.slow = sorted([*self.slow, (what, seconds, at)], key=lambda it: -it[1])[:_SLOW]

    def _stop_soon(self) -> None:
        self.loop.call_soon_threadsafe(self.stop)


async def _run(wanted: dict[str, Any]) -> dict[str, Any]:
    settings = StreamerSettings(**wanted["settings"])
    tune_process()
    collector = Measured(
        settings,
        SYSTEM_CLOCK,
        channels=wanted["channels"],
        exit_when_closed=not wanted["sealed_only"],
    )
    lags = collector.metrics.lags
    if wanted.get("lags_file"):
        lags.receive_to_queryable = FiledLags(wanted["lags_file"])
    else:
        lags.receive_to_spool, lags.receive_to_queryable = ExactLags(), ExactLags()
    collector.messages = wanted["messages"]
    collector.sealed_only = wanted["sealed_only"]
    collector.loop = asyncio.get_running_loop()
    collector.slow = []
    await collector.run()
    stored_at, stored_cpu = time.monotonic(), time.process_time()
    return {
        "seen": collector.seen,
        "rows": collector.stored.rows.get("options_quotes", 0),
        "seconds_to_sealed": collector.sealed_at - collector.begun,
        "cpu_to_sealed": collector.sealed_cpu - collector.cpu_begun,
        "seconds_to_stored": stored_at - collector.begun,
        "cpu_to_stored": stored_cpu - collector.cpu_begun,
        "receive_to_spool_p50": lags.receive_to_spool.quantile(0.5),
        "receive_to_spool_p99": lags.receive_to_spool.quantile(0.99),
        "receive_to_queryable_p50": lags.receive_to_queryable.quantile(0.5),
        "receive_to_queryable_p99": lags.receive_to_queryable.quantile(0.99),
        "slow": collector.slow,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Run once; with ``profile`` print where the time of the socket's thread went."""
    wanted = json.loads(sys.argv[1])
    configure(level="error")
    if not wanted.get("profile"):
        print(json.dumps(asyncio.run(_run(wanted))))
        return
    profile = cProfile.Profile()
    profile.enable()
    result = asyncio.run(_run(wanted))
    profile.disable()
    print(json.dumps(result))
    pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()

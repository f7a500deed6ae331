"""ClickHouse beside the hot path: one thread that writes blocks and reads state, never a queue.

A block that comes while the one before is still being written is skipped and counted: the next one
is newer anyway.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

import polars as pl
import structlog
from clickhouse_connect.driver.client import Client

from vol_platform.live.warm_state import WarmState, load_state
from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame

__all__ = ["StoreWorker"]

_QUERY_SECONDS = 20.0
_LONGEST_REASON = 300

_log = structlog.get_logger(__name__)


class StoreWorker:
    """Writes to and reads from ClickHouse in its own thread.

    Attributes
    ----------
    connected
        Whether the last job succeeded; None before the first.
    last_error
        Why not; empty when it did.
    written_blocks, skipped_blocks
        Blocks written, and blocks left out because ClickHouse was busy or away.
    """

    def __init__(self, settings: Settings, window_seconds: float) -> None:
        clickhouse = settings.clickhouse.model_copy(
            update={"query_timeout_seconds": _QUERY_SECONDS}
        )
        self._settings = settings.model_copy(update={"clickhouse": clickhouse})
        self._window_seconds = window_seconds
        self.connected: bool | None = None
        self.last_error = ""
        self.written_blocks = 0
        self.skipped_blocks = 0
        self._client: Client | None = None
        self._state: WarmState | None = None
        self._writing = threading.Event()
        self._loading = threading.Event()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon: a ClickHouse that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()

    def write(self, blocks: Mapping[str, pl.DataFrame], token: str) -> bool:
        """Hand over one block per table; False when the one before is still on its way.

        `token` names exactly these rows, so that a retry writes nothing twice.
        """
        if self._writing.is_set():
            self.skipped_blocks += 1
            return False
        self._writing.set()
        self._jobs.put(lambda: self._write(blocks, token))
        return True

    def ask_for_state(self) -> bool:
        """Have the newest state read; False when that is already under way."""
        if self._loading.is_set():
            return False
        self._loading.set()
        self._jobs.put(self._load)
        return True

    def take_state(self) -> WarmState | None:
        """Return a state that was read since the last call, if any."""
        state, self._state = self._state, None
        return state

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not (self._writing.is_set() or self._loading.is_set())

    def close(self, seconds: float) -> bool:
        """Let what is under way end, for so long; True when it did."""
        self._jobs.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, the hot path lives on
                first_line = (str(error) or type(error).__name__).splitlines()[0][:_LONGEST_REASON]
                if self.connected is not False:
                    _log.warning("ClickHouse is away; Redis is served on", error=first_line)
                self.connected, self.last_error = False, first_line
                self._client = None
            else:
                if self.connected is not True:
                    _log.info("ClickHouse answers")
                self.connected, self.last_error = True, ""

    def _connected_client(self) -> Client:
        if self._client is None:
            self._client = connect(self._settings)
        return self._client

    def _write(self, blocks: Mapping[str, pl.DataFrame], token: str) -> None:
        try:
            client = self._connected_client()
            for table, frame in blocks.items():
                insert_frame(client, table, frame, token=f"{token}-{table}")
            self.written_blocks += 1
        except BaseException:
            self.skipped_blocks += 1
            raise
        finally:
            self._writing.clear()

    def _load(self) -> None:
        try:
            self._state = load_state(self._connected_client(), self._window_seconds)
        finally:
            self._loading.clear()

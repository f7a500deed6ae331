"""The collector: sockets on one side, the spool in the middle, the database on the other."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from streamer.captures.ingest import Accounting, spool_limits
from streamer.clock import Clock
from streamer.database.hours import HourKeeper
from streamer.database.store import Store
from streamer.database.writer import SegmentWriter, Written
from streamer.decoding.batch import Accounts
from streamer.deribit.sequences import TradeWatch
from streamer.deribit.session_data import Event
from streamer.errors import StreamerError
from streamer.feed.catalogue import Catalogue
from streamer.feed.connection import Connection
from streamer.feed.listing import Lister
from streamer.feed.rest import RestClient
from streamer.feed.sockets import Sockets
from streamer.log import logger
from streamer.observe.metrics import Metrics, MetricsServer
from streamer.observe.observation import Observation
from streamer.settings import StreamerSettings
from streamer.spool.archive import Archive, ArchiveKeeper
from streamer.spool.sealer import Sealer
from streamer.spool.segment import RecordKind
from streamer.spool.spool import OpenSegment, Spool
from streamer.tasks import end_tasks
from streamer.watch.gap_keeper import GapKeeper
from streamer.watch.reactions import Reactions
from streamer.watch.recall import recall_when_stored
from streamer.watch.repairs import Repairer

if TYPE_CHECKING:
    from streamer.publish import Publisher

__all__ = ["Collector"]

_log = logger(__name__)
_WATCH_SECONDS = 1.0


class Collector:
    """Runs until it is told to stop.

    Parameters
    ----------
    settings
        Everything that can be chosen.
    clock
        Where the time comes from.
    channels
        Exactly these; None takes what the list of instruments gives.
    all_offered
        Every instrument of every market, with trades and books.
    exit_when_closed
        End when the exchange closes the socket: a capture was played to its end.

    Raises
    ------
    StreamerError
        The spool, the database's credentials or the metrics port stand in the way.
    """

    def __init__(
        self,
        settings: StreamerSettings,
        clock: Clock,
        *,
        channels: list[str] | None = None,
        all_offered: bool = False,
        exit_when_closed: bool = False,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._fixed_channels = channels
        self._exit_when_closed = exit_when_closed
        self._started_ns = clock.wall_ns()
        self._store = Store(settings.clickhouse)
        if not self._store.check():
            _log.warning("store_away", address=self._store.address, note="the spool holds the rows")
        self._spool = Spool(
            settings.spool_directory,
            collector=settings.collector,
            source="replay" if exit_when_closed else "stream",
            testnet=settings.testnet,
            clock=clock,
            limits=spool_limits(settings),
        )
        self._hours = HourKeeper(
            store=Store(settings.clickhouse),
            collector=settings.collector,
            clock=clock,
            grace_seconds=settings.hour_grace_seconds,
            is_replay=exit_when_closed,
        )
        self.metrics = Metrics()
        self.metrics_port = 0
        self._gaps = GapKeeper(
            self._spool,
            collector=settings.collector,
            started_ns=self._started_ns,
            metrics=self.metrics,
            clock=clock,
            silence_seconds=settings.channel_silence_seconds,
        )
        self._writer = SegmentWriter(
            spool=self._spool,
            store=self._store,
            clock=clock,
            hours=self._hours,
            seed=self._started_ns,
            on_written=self._segment_written,
        )
        self._archive: ArchiveKeeper | None = None
        if settings.archive_days and not exit_when_closed:
            archive = Archive(settings.archive_path, keep_days=settings.archive_days)
            self._archive = ArchiveKeeper(archive, clock)
        self._publisher: Publisher | None = None
        self._catalogue = Catalogue(settings, all_offered=all_offered)
        self._rest = RestClient(settings.rest_url, clock, settings.trade_history_url)
        self._trades = TradeWatch()
        self._sockets = Sockets(
            settings,
            self,
            clock=clock,
            seed=self._started_ns,
            once=exit_when_closed,
            trades=self._trades,
        )
        self._observation = Observation(
            self.metrics,
            spool=self._spool,
            writer=self._writer,
            sockets=self._sockets,
            clock=clock,
        )
        self._lister = Lister(
            settings,
            self._rest,
            self._catalogue,
            keep=self._take_body,
            on_channels=None if channels is not None else self._want,
            clock=clock,
        )
        self._repairer = Repairer(
            self._rest, self._catalogue, self._gaps, keep=self._take_body, clock=clock
        )
        self._reactions = Reactions(
            catalogue=self._catalogue,
            gaps=self._gaps,
            lister=self._lister,
            repairer=self._repairer,
            metrics=self.metrics,
            clock=clock,
            is_replay=exit_when_closed,
        )
        self._connection_id = 0
        self._hours_closed = 0
        self._frames = 0
        self._stopping = asyncio.Event()
        self._sealer = Sealer(self._spool, settings.spool, self._sealed)
        self._draining = threading.Event()

    @property
    def is_complete(self) -> bool:
        """Whether data flows on every channel of every socket."""
        return self._sockets.are_complete

    @property
    def stored(self) -> Accounts:
        """What the database holds of this process."""
        return self._writer.totals

    def close(self) -> None:
        """Give the spool directory and the connections up; `run` does it by itself."""
        self._sealer.close()
        self._spool.close()
        self._store.close()
        self._hours.close()

    def stop(self) -> None:
        """Ask it to stop: no new data, everything sealed, the database given a moment."""
        self._stopping.set()

    async def run(self) -> Accounting:
        """Collect until `stop`, or until the exchange closes in a replay.

        Returns
        -------
        Accounting
            Of everything that this process wrote.

        Raises
        ------
        PortInUseError, ExchangeError
            Something that no attempt can cure; in a replay also that no channel is accepted.
        """
        settings = self._settings
        server = MetricsServer(self.metrics, self._observation.health)
        try:
            self.metrics_port = await server.start(settings.metrics_host, settings.metrics_port)
        except StreamerError:
            await self._rest.close()
            self.close()
            raise
        address = f"{settings.metrics_host}:{self.metrics_port}"
        _log.info("metrics_ready", url=f"http://{address}/metrics")
        if settings.redis_url:
            # Loaded late: the client is a quarter of a start, which many collectors do without.
            from streamer.publish import Publisher

            self._publisher = Publisher(
                settings.redis_url,
                database=settings.clickhouse.database,
                collector=settings.collector,
                clock=self._clock,
            )
        self._recover()
        writer = threading.Thread(target=self._write, name="writer", daemon=True)
        writer.start()
        helpers: list[asyncio.Task[Any]] = [
            asyncio.create_task(task)
            for task in (
                self._sealer.keep_flushing(),
                self._sealer.keep_syncing(),
                self._keep_watching(),
            )
        ]
        if self._publisher is not None:
            helpers.append(asyncio.create_task(self._publisher.run()))
        if self._fixed_channels is not None:
            self._sockets.assign(self._fixed_channels)
        helpers.append(asyncio.create_task(self._lister.run()))
        if not self._exit_when_closed:
            helpers += [
                asyncio.create_task(task) for task in (self._repairer.run(), self._recall())
            ]
        try:
            await self._until_stopped(helpers)
        finally:
            await self._finish([*helpers, *self._sockets.tasks], writer, server)
        return Accounting(
            self._frames, self.stored, self._hours_closed, len(self._reactions.refused)
        )

    # -- the sink of the connections -------------------------------------------------------------

    def take_frames(self, frames: list[bytes], received_ns: int, connection_id: int) -> None:
        """Put frames on disk first, then show them to the live view."""
        spool = self._spool
        if not spool.append_frames(received_ns, connection_id, frames):
            self._gaps.note_disk_refused(received_ns)
            return
        # What was read is with the operating system before anything else happens to it, so that
        # a kill of the process loses nothing that it had received.
        spool.flush()
        lag = (self._clock.wall_ns() - received_ns) / 1e9
        self.metrics.lags.receive_to_spool.add(lag, len(frames))
        self._frames += len(frames)
        if self._publisher is not None:
            self._publisher.add_frames(frames, received_ns)

    def take_event(self, connection: Connection, event: Event) -> None:
        """React to what a session reports."""
        self._reactions.take(connection, event)

    def connection_lost(self, connection: Connection, cause: str, detail: str) -> None:
        """Open a gap from the last data of this connection."""
        self.metrics.reconnects.labels(cause).inc()
        self._gaps.note_lost(connection, cause, detail)

    def connection_complete(self, connection: Connection) -> None:
        """Close the gap of this connection, and with the last one that since the last process."""
        self._gaps.note_complete(connection)
        if self._sockets.are_complete:
            self._gaps.note_all_complete()
        channels = len(connection.session.wanted)
        _log.info("data_on_every_channel", connection=connection.number, channels=channels)

    def next_connection_id(self) -> int:
        """Return a number that no socket of this process had."""
        self._connection_id += 1
        return self._connection_id

    def _take_body(self, kind: RecordKind, body: bytes) -> bool:
        """Put the body of a REST answer into the spool; a list of instruments is shown as well."""
        received_ns = self._clock.wall_ns()
        if not self._spool.append(kind, received_ns, 0, body):
            self._gaps.note_disk_refused(received_ns)
            return False
        self._frames += 1
        if self._publisher is not None and kind is RecordKind.INSTRUMENTS:
            self._publisher.add_instruments(body, received_ns)
        return True

    def _want(self, channels: list[str]) -> None:
        dropped = self._sockets.assign(channels)
        self._gaps.note_dropped(dropped)

    # -- start and end ---------------------------------------------------------------------------

    def _recover(self) -> None:
        if self._archive is not None:
            self._archive.catch_up(sorted(self._settings.spool_directory.glob("*.done")))
        recovery = self._spool.recover()
        self._gaps.note_start(recovery)
        for name in recovery.quarantined:
            _log.error("segment_quarantined", segment=name, damage="its header is unreadable")
        _log.info(
            "spool_ready",
            directory=str(self._spool.directory),
            sealed=recovery.sealed,
            torn_bytes=recovery.torn_bytes,
            waiting=self._spool.waiting,
        )

    async def _until_stopped(self, helpers: list[asyncio.Task[Any]]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        ended: set[asyncio.Task[Any]] = set()
        try:
            while not self._stopping.is_set():
                watched = {stopping, *helpers, *self._sockets.tasks} - ended
                done, _ = await asyncio.wait(
                    watched, timeout=0.5, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done - {stopping}:
                    task.result()  # raises what ended it
                ended |= done - {stopping}
                if self._exit_when_closed and self._sockets.have_ended:
                    self._sockets.require_an_accepted_channel()
                    return
        finally:
            stopping.cancel()

    async def _finish(
        self, tasks: list[asyncio.Task[Any]], writer: threading.Thread, server: MetricsServer
    ) -> None:
        await end_tasks(tasks)
        loop = asyncio.get_running_loop()
        await self._sealer.seal_last()
        self._draining.set()
        self._writer.wake()
        patience = None if self._exit_when_closed else self._settings.drain_seconds
        await loop.run_in_executor(None, writer.join, patience)
        self._writer.stop()
        await loop.run_in_executor(None, writer.join, 1.0)
        if self._exit_when_closed and not writer.is_alive():
            closed = await loop.run_in_executor(
                None, self._hours.close_all, "replay", f"replay-{self._started_ns}"
            )
            self._hours_closed = len(closed)
        if self._publisher is not None:
            await self._publisher.close()
        await self._rest.close()
        await server.close()
        waiting = self._spool.waiting
        self.close()
        _log.info("stopped", frames=self._frames, segments_waiting=waiting)

    # -- what runs beside ------------------------------------------------------------------------

    def _write(self) -> None:
        self._writer.run(until_empty=self._draining.is_set)

    def _sealed(self, _segment: OpenSegment) -> None:
        self._writer.wake()

    async def _keep_watching(self) -> None:
        """Look at the disk, at silent channels and at the numbers once a second."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._archive is not None:
                self._archive.give_way(self._spool)
            self._gaps.watch_disk()
            self._gaps.watch_silence(self._sockets.connections, self._catalogue)
            self._hours.active_connections = frozenset(
                it.connection_id for it in self._sockets.connections if it.is_complete
            )
            self._observation.show(self._frames, self._publisher)

    async def _recall(self) -> None:
        """Act on what earlier processes left, as soon as the database has all of their data."""
        found = await recall_when_stored(self._spool, self._settings, self._started_ns)
        self._gaps.adopt(found.open_gaps, is_complete=self.is_complete)
        holes = [*found.holes, *self._trades.remember(found.newest_trades)]
        self._reactions.note_holes(holes, "trades")

    def _segment_written(self, written: Written) -> None:
        """Take note of a segment; called by the writer's thread."""
        self._observation.note_written(written)
        if self._archive is not None and written.batch.damage is None:
            self._archive.take(written.path.with_suffix(".done"), written.batch.first_received_ns)

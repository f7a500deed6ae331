"""F16: the process dies between every two calls of write, seal, insert, done and delete."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from streamer.clock import SYSTEM_CLOCK
from streamer.database.hours import HourKeeper
from streamer.database.store import Store
from streamer.database.writer import SegmentWriter
from streamer.spool.files import SYSTEM_FILES, Files
from streamer.spool.segment import RecordKind
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform.store.client import connect
from vol_platform_tests.faults.shim import CrashError, DyingFiles, DyingStore, Fuse
from vol_platform_tests.streamer.support import streamer_settings, ticker_frame

LIMITS = SpoolLimits(disk_floor_bytes=0, keep_done_segments=1)
SEGMENTS, MESSAGES = 3, 2


def names(point: int) -> list[str]:
    """Return the instruments whose tickers are sent in one life; each occurs once."""
    return [
        f"BTC-25DEC26-{1000 * point + number}-C" for number in range(1, SEGMENTS * MESSAGES + 1)
    ]


def open_spool(directory: Path, files: Files) -> Spool:
    return Spool(
        directory,
        collector="crashed",
        source="stream",
        testnet=False,
        clock=SYSTEM_CLOCK,
        limits=LIMITS,
        files=files,
    )


def writer_of(spool: Spool, store: Store) -> SegmentWriter:
    hours = HourKeeper(
        store=store, collector="crashed", clock=SYSTEM_CLOCK, grace_seconds=5.0, is_replay=False
    )
    return SegmentWriter(spool=spool, store=store, clock=SYSTEM_CLOCK, hours=hours, seed=1)


def live(point: int, directory: Path, files: Files, store: Store, safe: list[str]) -> None:
    """Live one life: fill segments, seal and insert each; note what was flushed."""
    spool = open_spool(directory, files)
    spool.recover()
    writer = writer_of(spool, store)
    now_ms = SYSTEM_CLOCK.wall_ns() // 1_000_000
    waiting = names(point)
    for _ in range(SEGMENTS):
        taken, waiting = waiting[:MESSAGES], waiting[MESSAGES:]
        for name in taken:
            frame = ticker_frame(name, timestamp=now_ms)
            assert spool.append(RecordKind.FRAME, SYSTEM_CLOCK.wall_ns(), 1, frame)
            assert spool.flush()
            safe.append(name)
        segment = spool.roll()
        assert segment is not None
        assert spool.seal(segment) is not None
        writer.write_all()
    spool.close()


def test_f16_dying_between_any_two_calls_loses_and_doubles_nothing(
    database, tmp_path, record_property
):
    settings = streamer_settings(database, tmp_path).clickhouse
    store = Store(settings)
    counted = Fuse()
    live(0, tmp_path / "whole", DyingFiles(counted), DyingStore(settings, counted), [])
    safe: list[str] = []
    for point in range(1, counted.calls + 1):
        directory = tmp_path / f"{point}"
        fuse = Fuse(point - 1)
        files = DyingFiles(fuse)
        dying = DyingStore(settings, fuse)
        died = False
        try:
            live(point, directory, files, dying, safe)
        except CrashError:
            died = True
        assert died, f"no call number {point}"
        files.die()
        dying.close()
        spool = open_spool(directory, SYSTEM_FILES)  # the next process
        assert not spool.recover().quarantined
        writer_of(spool, store).write_all()
        spool.close()
        left = sorted(path.suffix for path in directory.iterdir() if path.name != "lock")
        assert set(left) <= {".done"}, left
    with connect(database) as client:
        stored = Counter(
            name
            for (name,) in client.query("SELECT instrument_name FROM options_quotes").result_rows
        )
        latest = client.query("SELECT count() FROM options_quotes_latest").first_row[0]
    twice = [name for name, count in stored.items() if count > 1]
    assert not twice
    assert not set(safe) - set(stored), "flushed and lost"
    # A message whose write was cut by death was never handed over whole: nothing of it is stored.
    assert not set(stored) - set(safe) - set(names(0))
    assert latest == len(stored)
    store.close()
    record_property(
        "measured", f"{counted.calls} points of death, {len(stored)} messages, 0 lost, 0 twice"
    )

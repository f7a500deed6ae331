"""Archive, wipe, restore: the same rows and surfaces; interruptions leave no half-truth."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from streamer.spool import archive as streamer_archive
from vol_platform.derivations.history.registry import HISTORY
from vol_platform.derivations.registry import REGISTRY
from vol_platform.errors import ArchiveError
from vol_platform.record.engine import materialise
from vol_platform.settings import S3Settings, Settings
from vol_platform.store.client import connect, query_frame
from vol_platform.store.s3 import restore
from vol_platform.store.s3.archive import archive_day
from vol_platform.store.s3.archive_manifest import RAW_FRAMES, archived_days, read_manifest
from vol_platform.store.s3.archive_tables import ARCHIVED, day_contents
from vol_platform.store.s3.object_store import Bucket
from vol_platform.store.s3.restore import restore_day
from vol_platform.store.sql_models.tables import table_columns
from vol_platform_tests.record.market import insert_market
from vol_platform_tests.record.ticks import HOUR, close_hour
from vol_platform_tests.store.s3.s3_server import running_s3

DAY = HOUR.date()
MOMENTS = [HOUR + timedelta(minutes=minute) for minute in (1, 2)]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Settings]:
    """Give a running S3 server."""
    with running_s3() as settings:
        yield settings


@pytest.fixture
def bucket(s3: S3Settings, request: pytest.FixtureRequest) -> Bucket:
    """Give a bucket of this test's own."""
    name = f"test-{zlib.crc32(request.node.name.encode())}"
    return Bucket(s3.model_copy(update={"bucket": name}))


@pytest.fixture
def market(database: Settings) -> Settings:
    """Give a database with a day of every kind of raw row."""
    rows = insert_market(database, MOMENTS)
    close_hour(database, HOUR, rows=rows, closed_ts=HOUR + timedelta(hours=1))
    with connect(database) as client:
        client.command(
            "INSERT INTO dead_letters SELECT {at:DateTime64(6, 'UTC')}, 'x', 'malformed', '', "
            "'{\"a', 'test', '1' FROM numbers(3)",
            parameters={"at": MOMENTS[0]},
        )
        client.command(
            "INSERT INTO order_books (instrument_name, exchange_ts, bids, received_ts) SELECT "
            "'BTC-PERPETUAL', {at:DateTime64(3, 'UTC')}, [('new', 1.5, 2.25)], "
            "{at:DateTime64(6, 'UTC')}",
            parameters={"at": MOMENTS[0]},
        )
    return database


def surfaces(settings: Settings) -> pl.DataFrame:
    """Derive the hour and return its surfaces."""
    results = materialise(settings, [HOUR])
    assert not any(result.blocked for result in results.values())
    with connect(settings) as client:
        return query_frame(client, "SELECT * FROM surfaces ORDER BY ALL")


def wipe(settings: Settings) -> None:
    """Empty every table of the database."""
    with connect(settings) as client:
        tables = client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE "
            "'%MergeTree' AND name != 'schema_migrations'"
        ).result_rows
        for (name,) in tables:
            client.command(f"TRUNCATE TABLE {name}")


def hours_of_the_streamer(tmp_path: Path) -> Path:
    """Return the streamer's archive of the day and of the day after, and an hour still open."""
    folder = tmp_path / "frames"
    hourly = streamer_archive.Archive(folder, keep_days=10.0)
    for days in (0, 1, 2):
        segment = tmp_path / f"{days}.sealed"
        segment.write_bytes(b"messages")
        hourly.add(segment, int((HOUR + timedelta(days=days)).timestamp()) * 10**9)
    hourly.close_hours(int((HOUR + timedelta(days=1, hours=2)).timestamp()) * 10**9)
    assert len(hourly.hours()) == 2
    return folder


def test_archive_wipe_restore_gives_the_same_rows_and_the_same_surfaces(
    market: Settings, bucket: Bucket, tmp_path: Path
) -> None:
    before = surfaces(market)
    frames = hours_of_the_streamer(tmp_path)
    with connect(market) as client:
        contents = day_contents(client, DAY)
        manifest = archive_day(client, bucket, DAY, frames=frames)
        wipe(market)
        assert day_contents(client, DAY) == {}
        assert restore_day(client, bucket, DAY, frames=tmp_path / "back") == manifest
        assert day_contents(client, DAY) == contents
        # a second time, and into a store that holds the day, nothing changes
        restore_day(client, bucket, DAY)
        assert day_contents(client, DAY) == contents
    assert surfaces(market).equals(before)
    assert not before.is_empty()
    name = f"{HOUR:%Y-%m-%dT%H}.tar"
    assert [path.name for path in (tmp_path / "back").iterdir()] == [name]
    assert (tmp_path / "back" / name).read_bytes() == (frames / name).read_bytes()
    assert {part.table for part in manifest.parts} == {*contents, RAW_FRAMES}
    assert set(contents) >= {"options_quotes", "trades", "dead_letters", "order_books"}


def test_every_table_that_is_not_derived_is_archived() -> None:
    kept_elsewhere = {
        *(one.table for one in (*REGISTRY, *HISTORY)),
        *(name for name in table_columns() if name.endswith("_state")),
        *("live_surfaces", "live_greeks", "live_metrics", "derivation_runs", "archive_manifest"),
    }
    assert {table.name for table in ARCHIVED} == set(table_columns()) - kept_elsewhere


def test_the_manifest_says_what_is_in_the_archive(market: Settings, bucket: Bucket) -> None:
    with connect(market) as client:
        manifest = archive_day(client, bucket, DAY)
        rows, checksum = day_contents(client, DAY)["options_quotes"]
        held = query_frame(client, "SELECT * FROM archive_manifest ORDER BY table_name")
    assert read_manifest(bucket, market.clickhouse.database, DAY) == manifest
    assert archived_days(bucket, market.clickhouse.database) == [DAY]
    (part,) = manifest.of("options_quotes")
    assert (part.rows, part.content_checksum) == (rows, checksum)
    assert part.first_ts == f"{MOMENTS[0] - timedelta(seconds=5):%Y-%m-%d %H:%M:%S}.000"
    assert held.height == len(manifest.parts)
    assert held["rows"].sum() == sum(part.rows for part in manifest.parts)


def test_archiving_again_writes_nothing_new_and_changed_rows_replace_the_part(
    market: Settings, bucket: Bucket
) -> None:
    with connect(market) as client:
        first = archive_day(client, bucket, DAY)
        again = archive_day(client, bucket, DAY)
        assert again.parts == first.parts
        insert_market(market, [HOUR + timedelta(minutes=9)])
        changed = archive_day(client, bucket, DAY)
    assert changed.of("options_quotes") != first.of("options_quotes")
    keys = set(bucket.keys(f"{market.clickhouse.database}/options_quotes/"))
    assert keys == {part.key for part in changed.of("options_quotes")}


class _Power(Exception):  # noqa: N818 - a power cut is no error of ours
    pass


@pytest.mark.parametrize("uploads_before", [0, 1, 3])
def test_an_interrupted_archive_leaves_the_one_before(
    market: Settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, uploads_before: int
) -> None:
    with connect(market) as client:
        first = archive_day(client, bucket, DAY)
        insert_market(market, [HOUR + timedelta(minutes=9)])
        put, count = Bucket.put, iter(range(100))

        def cut(self: Bucket, key: str, path: Path) -> None:
            if next(count) == uploads_before:
                raise _Power
            put(self, key, path)

        monkeypatch.setattr(Bucket, "put", cut)
        with pytest.raises(_Power):
            archive_day(client, bucket, DAY)
        monkeypatch.undo()
        assert read_manifest(bucket, market.clickhouse.database, DAY) == first
        wipe(market)
        restore_day(client, bucket, DAY)
        insert_market(market, [HOUR + timedelta(minutes=9)])
        second = archive_day(client, bucket, DAY)
    assert second.parts != first.parts
    database = market.clickhouse.database
    assert {part.key for part in second.parts} == {
        key for table in ARCHIVED for key in bucket.keys(f"{database}/{table.name}/")
    }


def test_an_interrupted_restore_goes_on_where_it_stopped(
    market: Settings, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(market) as client:
        contents = day_contents(client, DAY)
        archive_day(client, bucket, DAY)
        wipe(market)
        restored, count = restore._restore_table, iter(range(100))

        def cut(*arguments: object) -> None:
            restored(*arguments)  # type: ignore[arg-type]
            if next(count) == 3:
                raise _Power

        monkeypatch.setattr(restore, "_restore_table", cut)
        with pytest.raises(_Power):
            restore_day(client, bucket, DAY)
        monkeypatch.undo()
        assert 0 < len(day_contents(client, DAY)) < len(contents)
        restore_day(client, bucket, DAY)
        assert day_contents(client, DAY) == contents


def test_a_damaged_object_is_refused_and_nothing_of_it_is_restored(
    market: Settings, bucket: Bucket, tmp_path: Path
) -> None:
    with connect(market) as client:
        manifest = archive_day(client, bucket, DAY)
        (part,) = manifest.of("trades")
        damaged = tmp_path / "damaged"
        bucket.get(part.key, damaged)
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
        bucket.put(part.key, damaged)
        wipe(market)
        with pytest.raises(ArchiveError, match="its manifest says"):
            restore_day(client, bucket, DAY, tables=["trades"])
        assert "trades" not in day_contents(client, DAY)


def test_a_store_that_holds_other_rows_of_the_day_is_told(market: Settings, bucket: Bucket) -> None:
    with connect(market) as client:
        archive_day(client, bucket, DAY)
        insert_market(market, [HOUR + timedelta(minutes=9)])
        with pytest.raises(ArchiveError, match="the store held other rows"):
            restore_day(client, bucket, DAY)


def test_days_that_cannot_be_are_refused(market: Settings, bucket: Bucket) -> None:
    bucket.ensure()
    noon = datetime(2026, 2, 4, 12, tzinfo=UTC)
    with connect(market) as client:
        with pytest.raises(ArchiveError, match="2026-02-04 is not over"):
            archive_day(client, bucket, DAY, clock=lambda: noon)
        with pytest.raises(ArchiveError, match=r"2020-01-01 of .* is not in the archive"):
            restore_day(client, bucket, date(2020, 1, 1))


def test_wrong_keys_and_a_missing_server_are_told(s3: S3Settings, tmp_path: Path) -> None:
    wrong = S3Settings.model_validate({**s3.model_dump(), "secret_key": "wrong"})
    with pytest.raises(ArchiveError, match="VOL_S3__"):
        Bucket(wrong).put("x", Path(__file__))
    nowhere = s3.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1:9"):
        Bucket(nowhere).get("x", tmp_path / "x")

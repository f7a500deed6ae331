"""Materialising hours on the real engine: the same bytes whatever the order, blocked when wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from vol_platform.clock import utc_now
from vol_platform.derivations import registry
from vol_platform.derivations.contracts import DerivationContext
from vol_platform.record import engine
from vol_platform.record.assets import record_key
from vol_platform.record.engine import materialise, parameters_hash
from vol_platform.record.frames import context_of, read_derived, read_raw
from vol_platform.record.missing import missing_hours
from vol_platform.record.partitions import partition_key
from vol_platform.record.run import HoursReport, materialise_hours
from vol_platform.settings import QuoteSettings, RecordSettings, Settings
from vol_platform.store.client import connect, query_frame
from vol_platform_tests.derivations.boards import EXPIRIES, chain
from vol_platform_tests.record.ticks import HOUR, close_hour, insert_board

ONE_HOUR = timedelta(hours=1)
NEXT = HOUR + ONE_HOUR
TABLES = [derivation.table for derivation in registry.REGISTRY]
MOMENTS = [HOUR, HOUR + timedelta(minutes=1), HOUR + timedelta(minutes=59), NEXT]


def contents(settings: Settings) -> dict[str, pl.DataFrame]:
    """Read every derived table, whole."""
    with connect(settings) as client:
        return {
            table: query_frame(client, f"SELECT * FROM {table} ORDER BY ALL")  # noqa: S608 - table names of the registry
            for table in TABLES
        }


def assert_same(left: dict[str, pl.DataFrame], right: dict[str, pl.DataFrame]) -> None:
    for table in TABLES:
        assert left[table].equals(right[table]), table


def test_an_hour_holds_the_snapshots_of_its_minutes_and_no_others(database: Settings) -> None:
    insert_board(database, MOMENTS, expiries=EXPIRIES[:1])
    with connect(database) as client:
        frames = read_raw(client, HOUR, DerivationContext())
    wanted = chain(MOMENTS[:3], EXPIRIES[:1], move=0.001)
    held = frames["chain"]
    assert held["snapshot_ts"].unique().sort().to_list() == MOMENTS[:3]
    assert held["instrument_name"].to_list() == wanted["instrument_name"].to_list()
    for column in ("strike", "is_call", "underlying_price", "exchange_ts", "age_seconds"):
        assert held[column].equals(wanted[column]), column
    assert ((held["bid_price"] - wanted["bid_price"]).abs() < 1e-8).all()
    assert ((held["mark_iv"] - wanted["mark_iv"]).abs() < 1e-6).all()
    assert frames["index"]["price"].to_list() == [75_000.0] * 3
    assert frames["futures"]["instrument_name"].to_list() == ["BTC-PERPETUAL"] * 3


def test_an_older_quote_serves_later_snapshots_when_it_may(database: Settings) -> None:
    insert_board(database, [HOUR], expiries=EXPIRIES[:1])
    with connect(database) as client:
        short = read_raw(client, HOUR, DerivationContext(max_quote_age_seconds=60))
        longer = read_raw(client, HOUR, DerivationContext(max_quote_age_seconds=150))
    assert short["chain"]["snapshot_ts"].n_unique() == 1
    ages = longer["chain"].group_by("snapshot_ts").agg(pl.col("age_seconds").max())
    assert sorted(ages["age_seconds"]) == [5.0, 65.0, 125.0]
    assert longer["index"].height == 3
    assert longer["futures"].height == 3


def test_any_order_and_grouping_gives_the_same_bytes(database: Settings) -> None:
    insert_board(database, MOMENTS)
    together = materialise(database, [HOUR, NEXT], run_id="together")
    assert {name: list(result.published) for name, result in together.items()} == {
        name: [HOUR, NEXT] for name in together
    }
    first = contents(database)
    assert first["surfaces"].height == len(MOMENTS) * len(EXPIRIES)
    for hours in ([NEXT], [HOUR], [HOUR]):
        again = materialise(database, hours, run_id="alone")
        for name, result in again.items():
            for hour in hours:
                assert result.published[hour] == together[name].published[hour]
    assert_same(contents(database), first)


def test_one_table_alone_is_made_from_the_record_of_the_others(database: Settings) -> None:
    insert_board(database, MOMENTS[:2])
    materialise(database, [HOUR])
    first = contents(database)
    for name in ("options_greeks", "skew_metrics", "surfaces"):
        assert list(materialise(database, [HOUR], [name])) == [name]
    assert_same(contents(database), first)


def test_what_is_read_back_is_what_was_derived(database: Settings) -> None:
    insert_board(database, MOMENTS[:1])
    results = materialise(database, [HOUR])
    with connect(database) as client:
        for derivation in registry.REGISTRY:
            frame = results[derivation.name].last_frame
            if frame is not None:
                assert read_derived(client, derivation, HOUR).equals(frame), derivation.name


def test_an_hour_without_ticks_becomes_empty_and_leaves_its_neighbours(database: Settings) -> None:
    insert_board(database, MOMENTS)
    materialise(database, [HOUR, NEXT])
    kept = contents(database)["surfaces"].filter(pl.col("snapshot_ts") >= NEXT)
    with connect(database) as client:
        client.command("TRUNCATE TABLE options_minute_state")
    materialise(database, [HOUR])
    assert contents(database)["surfaces"].equals(kept)


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, **columns: Any) -> None:
    """Make one derivation return wrong rows."""
    spoiled = tuple(
        replace(
            one,
            function=lambda frames, context, one=one: one.function(frames, context).with_columns(
                **columns
            ),
        )
        if one.name == name
        else one
        for one in registry.REGISTRY
    )
    monkeypatch.setattr(engine, "REGISTRY", spoiled)


def test_a_failed_blocking_check_publishes_nothing_of_it_nor_of_what_needs_it(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_board(database, MOMENTS[:1])
    materialise(database, [HOUR])
    before = contents(database)
    insert_board(database, MOMENTS[:1], move=0.0, width_vol=0.02)
    spoil(monkeypatch, "surfaces", atm_vol=pl.lit(-1.0))
    results = materialise(database, [HOUR])
    assert "every_expiry_answered failed on" in results["surfaces"].blocked[HOUR]
    assert results["term_structure"].blocked[HOUR] == "its input surfaces was not published"
    assert results["options_greeks"].blocked[HOUR] == "its input surfaces was not published"
    assert HOUR in results["forward_curve"].published
    after = contents(database)
    for table in ("surfaces", "surface_grid", "options_greeks", "term_structure", "skew_metrics"):
        assert after[table].equals(before[table]), table


def test_the_report_names_the_hour_that_failed_and_why(
    database: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_board(database, MOMENTS)
    seen: list[tuple[int, int]] = []
    spoil(
        monkeypatch,
        "quotes_clean",
        bid_price=pl.when(pl.col("snapshot_ts") < NEXT)
        .then(pl.col("ask_price") * 2)
        .otherwise("bid_price"),
    )
    report = materialise_hours(
        database, [HOUR, NEXT], progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 2), (2, 2)]
    assert report.succeeded == [NEXT]
    assert list(report.failed) == [HOUR]
    assert "quotes_clean 2026-02-04-15:00: check bid_not_above_ask failed on" in report.failed[HOUR]
    assert report.failed_checks == {HOUR: ["record/quotes_clean/bid_not_above_ask"]}
    assert (contents(database)["surfaces"]["snapshot_ts"] == NEXT).all()


def test_hours_of_a_report_are_materialised_as_assets(database: Settings) -> None:
    insert_board(database, MOMENTS)
    report = materialise_hours(database, [HOUR + timedelta(minutes=59), NEXT])
    assert report.succeeded == [HOUR, NEXT]
    assert not report.failed
    assert not report.failed_checks
    with connect(database) as client:
        runs = query_frame(client, "SELECT table_name, hour_ts, run_id, rows FROM derivation_runs")
    assert runs.height == 2 * len(TABLES)
    assert (runs["run_id"].str.len_chars() == 36).all()


def test_one_hour_draws_its_surfaces_and_a_backfill_of_hours_apart_draws_none(
    database: Settings, tmp_path: Path
) -> None:
    insert_board(database, MOMENTS)
    instance = dg.DagsterInstance.local_temp(str(tmp_path))

    def drawn() -> list[str | None]:
        records = instance.fetch_materializations(record_key("surfaces"), limit=10).records
        return [
            record.partition_key
            for record in records
            if record.asset_materialization is not None
            and "surface_BTC" in record.asset_materialization.metadata
        ]

    later = HOUR + timedelta(hours=5)
    assert materialise_hours(database, [HOUR, later], instance=instance).succeeded == [HOUR, later]
    assert drawn() == []
    materialise_hours(database, [HOUR], instance=instance)
    assert drawn() == [partition_key(HOUR)]


def test_an_interrupted_backfill_goes_on_with_the_hours_that_are_missing(
    database: Settings,
) -> None:
    insert_board(database, MOMENTS)
    assert materialise_hours(database, [HOUR], only_missing=True).succeeded == [HOUR]
    assert materialise_hours(database, [HOUR, NEXT], only_missing=True).succeeded == [NEXT]
    assert materialise_hours(database, [HOUR, NEXT], only_missing=True) == HoursReport()
    close_hour(database, HOUR, rows=1, closed_ts=utc_now(), reason="gap_repaired")
    assert missing_hours(database, [HOUR, NEXT]) == {HOUR}
    other = database.model_copy(update={"quotes": QuoteSettings(max_quote_age_seconds=120)})
    assert missing_hours(other, [HOUR, NEXT]) == {HOUR, NEXT}


def test_an_hour_outside_the_record_is_named_and_runs_nothing(database: Settings) -> None:
    old = HOUR.replace(year=2019)
    report = materialise_hours(database, [old])
    assert report.succeeded == []
    assert "hour 2019-02-04-15:00 cannot be addressed" in report.failed[old]


def test_a_market_without_metadata_is_rejected_and_not_lost(database: Settings) -> None:
    rows = insert_board(database, MOMENTS[:1])
    with connect(database) as client:
        client.command("TRUNCATE TABLE options_metadata")
    materialise(database, [HOUR])
    held = contents(database)
    assert held["quotes_rejected"].height == rows
    assert held["quotes_rejected"]["reason"].unique().to_list() == ["unknown_instrument"]
    assert held["surfaces"].is_empty()


def test_a_specification_that_changes_later_does_not_change_the_hour(database: Settings) -> None:
    insert_board(database, MOMENTS[:1], expiries=EXPIRIES[:1])
    changed = (
        "INSERT INTO options_metadata SELECT * REPLACE (toDecimal64(0.5, 8) AS tick_size, "
        "7 AS content_checksum, {seen:DateTime64(6, 'UTC')} AS seen_ts) "
        "FROM (SELECT * FROM options_metadata FINAL WHERE content_checksum = 0)"
    )
    with connect(database) as client:
        before = read_raw(client, HOUR, DerivationContext())["chain"]
        client.command(changed, {"seen": HOUR + ONE_HOUR})
        # the old version is seen once more, as every listing repeats all
        client.command(
            "INSERT INTO options_metadata "
            "SELECT * REPLACE ({seen:DateTime64(6, 'UTC')} AS seen_ts) "
            "FROM (SELECT * FROM options_metadata WHERE content_checksum = 0)",
            {"seen": HOUR + timedelta(minutes=30)},
        )
        client.command("OPTIMIZE TABLE options_metadata FINAL")
        held = query_frame(client, "SELECT DISTINCT content_checksum FROM options_metadata")
        assert sorted(held["content_checksum"]) == [0, 7]
        assert read_raw(client, HOUR, DerivationContext())["chain"].equals(before)
        client.command(changed, {"seen": HOUR + timedelta(minutes=40)})
        within = read_raw(client, HOUR, DerivationContext())["chain"]
    assert (within["tick_size"] == 0.5).all()
    assert within["instrument_name"].equals(before["instrument_name"])


def test_the_parameters_hash_follows_the_parameters() -> None:
    usual = parameters_hash(DerivationContext())
    assert usual == parameters_hash(context_of(Settings()))
    other = Settings(quotes=QuoteSettings(max_quote_age_seconds=120))
    assert parameters_hash(context_of(other)) != usual


def test_hours_of_two_days_are_published_day_by_day() -> None:
    midnight = datetime.fromisoformat("2026-02-05T00:00:00+00:00")
    hours = [midnight + step * ONE_HOUR for step in (1, -1, 0)]
    assert engine._days(hours) == [[hours[1]], [hours[2], hours[0]]]


def test_days_shared_between_processes_give_the_same_bytes_as_one(database: Settings) -> None:
    days = [HOUR + timedelta(days=number) for number in range(2)]
    insert_board(database, [*days, days[0] + ONE_HOUR])
    hours = [*days, days[0] + ONE_HOUR]
    alone = database.model_copy(update={"record": RecordSettings(processes=1)})
    shared = database.model_copy(update={"record": RecordSettings(processes=2)})
    one = materialise(alone, hours, run_id="alone")
    first = contents(database)
    told: list[datetime] = []
    two = materialise(shared, hours, run_id="shared", progress=told.append)
    assert_same(contents(database), first)
    assert sorted(told) == sorted(hours)
    for name, result in one.items():
        assert two[name].published == result.published
        assert list(two[name].checks) == list(result.checks)
        for check, of_check in result.checks.items():
            assert list(two[name].checks[check].outcomes) == list(of_check.outcomes)
    assert two["surfaces"].last_frame is not None
    assert two["surfaces"].last_frame["snapshot_ts"].max() == days[1]

"""Checks of the raw tables, and the messages that failed checks and runs become."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import dagster as dg
import pytest
from pydantic import SecretStr

from vol_platform.record import daily_summary, feed_checks
from vol_platform.record.alert_sensor import alert_sensor, run_failure_alert
from vol_platform.record.daily_summary import day_summary, summary_job
from vol_platform.record.feed_checks import (
    feed_evaluation,
    feed_sensor,
    rows_evaluation,
    segments_evaluation,
)
from vol_platform.record.raw_assets import raw_key
from vol_platform.record.run import materialise_hours
from vol_platform.settings import Settings, TelegramSettings
from vol_platform.store.client import connect
from vol_platform_tests.derivations.boards import EXPIRIES
from vol_platform_tests.record.market import insert_market
from vol_platform_tests.record.ticks import HOUR, close_hour, insert_board

FRESH = dg.AssetCheckKey(raw_key("options_quotes"), "fresh")
NOW = HOUR + timedelta(seconds=30)


class BotApi(ThreadingHTTPServer):
    """A local stand-in for Telegram's Bot API."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[str] = []
        self.refuse = False


class _Handler(BaseHTTPRequestHandler):
    server: BotApi

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refuse:
            self._answer(400, {"ok": False, "error_code": 400, "description": "Bad Request"})
            return
        self.server.messages.append(json.loads(body)["text"])
        self._answer(200, {"ok": True, "result": {"message_id": len(self.server.messages)}})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def bot() -> Iterator[BotApi]:
    """Give a running Bot API."""
    server = BotApi()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def telegram(bot: BotApi) -> Settings:
    """Give settings that send to it."""
    return Settings(
        telegram=TelegramSettings(
            token=SecretStr("1:secret"),
            chat_ids=(7,),
            base_url=f"http://127.0.0.1:{bot.server_port}/bot",
        )
    )


def evaluate(
    sensor: dg.SensorDefinition,
    settings: Settings,
    instance: dg.DagsterInstance,
    cursor: str | None,
) -> dg.SensorResult:
    result = sensor(
        dg.build_sensor_context(instance=instance, cursor=cursor, resources={"settings": settings})
    )
    assert isinstance(result, dg.SensorResult)
    return result


def test_a_market_that_falls_silent_fails_the_feed_check(database: Settings) -> None:
    insert_board(database, [HOUR], expiries=EXPIRIES[:1])
    with connect(database) as client:
        alive = feed_evaluation(client, 60, NOW)
        silent = feed_evaluation(client, 60, NOW + timedelta(minutes=1))
    assert alive.passed
    assert not silent.passed
    assert silent.metadata["silence_seconds_BTC"].value == pytest.approx(94.96, abs=0.05)


def test_imported_boards_are_no_feed(database: Settings) -> None:
    insert_board(database, [HOUR], expiries=EXPIRIES[:1])
    with connect(database) as client:
        client.command("TRUNCATE TABLE options_latest_state")
        assert feed_evaluation(client, 60, NOW + timedelta(days=1)).passed


def test_an_hour_with_fewer_rows_than_were_counted_fails(database: Settings) -> None:
    rows = insert_board(database, [HOUR + timedelta(minutes=1)], expiries=EXPIRIES[:1])
    close_hour(database, HOUR, rows=rows, closed_ts=NOW)
    with connect(database) as client:
        assert rows_evaluation(client, NOW).passed
        close_hour(database, HOUR, rows=rows + 3, closed_ts=NOW)
        short = rows_evaluation(client, NOW)
    assert not short.passed
    assert short.metadata["rows_missing"].value == 3
    assert "2026-02-04 15:00" in str(short.metadata["sample"].value)


def test_rows_that_are_merged_or_come_twice_are_no_missing_rows(database: Settings) -> None:
    board = [HOUR + timedelta(minutes=minute) for minute in (0, 1, 59)]
    rows = insert_board(database, board, expiries=EXPIRIES[:1])
    insert_board(database, board, expiries=EXPIRIES[:1])
    # the streamer counts every row once; the ticks of the first minute are of the hour before
    close_hour(database, HOUR, rows=rows, closed_ts=NOW)
    with connect(database) as client:
        assert rows_evaluation(client, NOW).passed
        client.command("OPTIMIZE TABLE options_quotes FINAL")
        assert rows_evaluation(client, NOW).passed
        client.command(
            "DELETE FROM options_quotes WHERE exchange_ts < {at:DateTime('UTC')}", {"at": HOUR}
        )
        assert not rows_evaluation(client, NOW).passed


def test_a_segment_that_is_lost_or_came_twice_is_told(database: Settings) -> None:
    rows = insert_board(database, [HOUR], expiries=EXPIRIES[:1])
    stamps = {"at": HOUR - timedelta(seconds=6), "end": HOUR, "rows": rows}
    later = HOUR + timedelta(hours=1)
    with connect(database) as client:
        client.command(
            "INSERT INTO ingest_segments (segment_id, collector, first_received_ts, "
            "last_received_ts, rows, inserted_ts) SELECT '1', 'test', {at:DateTime64(6, 'UTC')}, "
            "{end:DateTime64(6, 'UTC')}, map('options_quotes', {rows:UInt64}), "
            "{end:DateTime64(6, 'UTC')}",
            stamps,
        )
        good = segments_evaluation(client, later)
        assert good.passed
        assert good.metadata["tables_compared"].value == 1
        client.command(
            "INSERT INTO options_quotes SELECT * REPLACE (content_checksum + 1000000 AS "
            "content_checksum) FROM options_quotes LIMIT 5"
        )
        twice = segments_evaluation(client, later)
        client.command("TRUNCATE TABLE options_quotes")
        lost = segments_evaluation(client, later)
    assert not twice.passed
    assert twice.metadata["rows_too_many"].value == 5
    assert not lost.passed
    assert lost.metadata["rows_missing"].value == rows
    assert f"| test | options_quotes | {rows} | 0 |" in str(lost.metadata["sample"].value)


def test_the_feed_sensor_reports_a_change_at_once_and_a_state_now_and_then(
    database: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_board(database, [HOUR], expiries=EXPIRIES[:1])
    told: list[list[tuple[str, bool]]] = []
    cursor = "an old cursor"
    for seconds in (30, 40, 120, 130, 30 + 3600):
        now = HOUR + timedelta(seconds=seconds)
        monkeypatch.setattr(feed_checks, "utc_now", lambda now=now: now)
        result = evaluate(feed_sensor(), database, instance, cursor)
        cursor = result.cursor or ""
        told.append([(event.check_name, event.passed) for event in result.asset_events])
    both = [("fresh", True), ("rows_match_ingest", True)]
    stale = [("fresh", False), ("rows_match_ingest", True)]
    assert told == [both, [], [("fresh", False)], [], stale]


def tell(instance: dg.DagsterInstance, *, passed: bool) -> None:
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=FRESH.asset_key,
            check_name=FRESH.name,
            passed=passed,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"silence_seconds_BTC": 75.0, "limit_seconds": 60.0},
        )
    )


def test_a_failed_check_and_its_recovery_are_told_once_each(
    instance: dg.DagsterInstance, telegram: Settings, bot: BotApi
) -> None:
    sensor = alert_sensor([FRESH])
    cursor: str | None = None
    for passed in (True, False, False, True, True):
        tell(instance, passed=passed)
        cursor = evaluate(sensor, telegram, instance, cursor).cursor
    assert len(bot.messages) == 2
    assert "Check failed: raw/options_quotes/fresh" in bot.messages[0]
    assert "silence_seconds_BTC 75" in bot.messages[0]
    assert "passes again" in bot.messages[1]


def test_an_alert_that_was_not_delivered_is_tried_again(
    instance: dg.DagsterInstance, telegram: Settings, bot: BotApi
) -> None:
    sensor = alert_sensor([FRESH])
    tell(instance, passed=False)
    bot.refuse = True
    cursor = evaluate(sensor, telegram, instance, '{"v": 0, "from": "an older sensor"}').cursor
    assert bot.messages == []
    bot.refuse = False
    cursor = evaluate(sensor, telegram, instance, cursor).cursor
    evaluate(sensor, telegram, instance, cursor)
    assert len(bot.messages) == 1


def test_a_failed_run_is_told_with_its_error(
    instance: dg.DagsterInstance, telegram: Settings, bot: BotApi
) -> None:
    @dg.op
    def breaks() -> None:
        raise dg.Failure("the disk is full")

    @dg.job
    def doomed() -> None:
        breaks()

    result = doomed.execute_in_process(instance=instance, raise_on_error=False)
    failure = next(
        event for event in result.all_events if event.is_failure and event.is_run_failure
    )
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_event=failure,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        resources={"settings": telegram},
    ).for_run_failure()
    run_failure_alert()(context)
    assert len(bot.messages) == 1
    assert "Run failed: doomed" in bot.messages[0]
    assert "breaks" in bot.messages[0]


def test_the_feed_check_can_be_run_by_hand(
    database: Settings, instance: dg.DagsterInstance
) -> None:
    insert_board(database, [HOUR], expiries=EXPIRIES[:1])
    result = (
        dg.Definitions(
            assets=[dg.AssetSpec(raw_key("options_quotes"))],
            asset_checks=feed_checks.feed_checks(),
            resources={"settings": database},
            jobs=[dg.define_asset_job("checks", selection=dg.AssetSelection.all_asset_checks())],
        )
        .resolve_job_def("checks")
        .execute_in_process(instance=instance)
    )
    outcomes = {one.check_name: one.passed for one in result.get_asset_check_evaluations()}
    # The clock of this test is the real one, so the recorded board is long silent.
    assert outcomes == {"fresh": False, "rows_match_ingest": True, "rows_match_segments": True}


def test_the_summary_of_a_day_is_sent_with_its_figures(
    database: Settings,
    instance: dg.DagsterInstance,
    telegram: Settings,
    bot: BotApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert_market(database, [HOUR, HOUR + timedelta(minutes=1)])
    assert not materialise_hours(database, [HOUR], with_models=True).failed
    tell(instance, passed=False)
    monkeypatch.setattr(daily_summary, "utc_now", lambda: HOUR + timedelta(days=1))
    settings = database.model_copy(update={"telegram": telegram.telegram})
    result = summary_job([FRESH]).execute_in_process(
        instance=instance, resources={"settings": settings}
    )
    assert result.success
    (message,) = bot.messages
    assert f"Summary of {HOUR:%Y-%m-%d}" in message
    assert "BTC: 2 of 1440 snapshots; 0 of 6 expiries refused, 0 repaired; gaps 0 s" in message
    assert "30-day index" in message
    assert "1 checks fail: raw/options_quotes/fresh" in message


def test_a_day_without_an_hour_is_told_as_such(database: Settings) -> None:
    with connect(database) as client:
        summary = day_summary(client, date(2020, 1, 1), [])
    assert summary.severity == "warning"
    assert "no hour of the day was published" in summary.text
    assert "checks pass" in summary.text

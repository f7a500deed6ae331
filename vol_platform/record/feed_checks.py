"""Checks on the raw tables, which Dagster does not write: is the feed alive, is the hour whole.

They run as asset checks on demand, and from a sensor that reports a change of state at once and the
state every half an hour.
"""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
from clickhouse_connect.driver.client import Client

from vol_platform.clock import utc_now
from vol_platform.record.raw_assets import raw_key
from vol_platform.settings import Settings
from vol_platform.store.client import connect

__all__ = [
    "FEED_CHECK",
    "ROWS_CHECK",
    "SEGMENTS_CHECK",
    "feed_checks",
    "feed_evaluation",
    "feed_sensor",
    "rows_evaluation",
    "segments_evaluation",
]

FEED_CHECK = "fresh"
ROWS_CHECK = "rows_match_ingest"
SEGMENTS_CHECK = "rows_match_segments"
_SEGMENT_HOURS = 24
_SETTLED = timedelta(minutes=2)
"""Segments younger than this may still be on their way into the tables."""
_SEGMENT_TABLES = frozenset(
    {"options_quotes", "futures_prices", "spot_prices", "volatility_index", "trades"}
)
_MERGED_SHARE = 0.01
_CURSOR_VERSION = 1
_TICK_SECONDS = 29
_REPEAT = timedelta(minutes=30)
_HOURS_COMPARED = 48


def feed_evaluation(client: Client, limit_seconds: float, now: datetime) -> dg.AssetCheckEvaluation:
    """Compare the newest streamed quote of every market with the clock.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    limit_seconds
        Longest silence.
    now
        The present moment.
    """
    result = client.query(
        "SELECT currency, max(received_ts) FROM options_quotes_latest "
        "WHERE source = 'stream' GROUP BY currency ORDER BY currency"
    )
    silence = {
        currency: (now - _aware(newest)).total_seconds() for currency, newest in result.result_rows
    }
    return dg.AssetCheckEvaluation(
        asset_key=raw_key("options_quotes"),
        check_name=FEED_CHECK,
        passed=all(seconds <= limit_seconds for seconds in silence.values()),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "limit_seconds": limit_seconds,
            "markets": len(silence),
            **{f"silence_seconds_{name}": round(value, 1) for name, value in silence.items()},
        },
    )


def rows_evaluation(client: Client, now: datetime) -> dg.AssetCheckEvaluation:
    """Compare the rows of recently closed hours with what their collectors counted.

    Replays of one hour by several collectors overlap, so each hour must hold at least the rows of
    its largest report.  A report counts every row once, over the minutes of the hour's snapshots;
    the table may still hold some twice until its parts are merged, and that is no fault.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    now
        The present moment.
    """
    result = client.query(
        "SELECT h.hour_ts, h.reported, r.stored FROM "
        "(SELECT hour_ts, max(rows) AS reported FROM ingest_hours "
        " WHERE hour_ts >= parseDateTimeBestEffort({since:String}, 'UTC') GROUP BY hour_ts) AS h "
        "LEFT JOIN "
        "(SELECT toStartOfHour(toDateTime(ceil(toUnixTimestamp64Milli(exchange_ts) / 60000) * 60, "
        " 'UTC')) AS hour_ts, count() AS stored FROM options_quotes "
        " WHERE exchange_ts >= parseDateTimeBestEffort({since:String}, 'UTC') - 60 "
        " GROUP BY hour_ts) AS r "
        "ON h.hour_ts = r.hour_ts ORDER BY h.hour_ts",
        parameters={"since": (now - timedelta(hours=_HOURS_COMPARED)).isoformat()},
    )
    short = [row for row in result.result_rows if row[2] < row[1]]
    sample = "\n".join(
        f"| {_aware(hour):%Y-%m-%d %H:%M} | {reported} | {stored} |"
        for hour, reported, stored in short[:10]
    )
    return dg.AssetCheckEvaluation(
        asset_key=raw_key("options_quotes"),
        check_name=ROWS_CHECK,
        passed=not short,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "hours": len(result.result_rows),
            "hours_short": len(short),
            "rows_missing": sum(reported - stored for _, reported, stored in short),
            **(
                {
                    "sample": dg.MetadataValue.md(
                        f"| hour | reported | stored |\n|---|---|---|\n{sample}"
                    )
                }
                if short
                else {}
            ),
        },
    )


def segments_evaluation(client: Client, now: datetime) -> dg.AssetCheckEvaluation:
    """Compare the rows of the last day with what the spool's segments counted.

    More rows of a collector than its segments hold is a segment that was inserted twice; fewer are
    lost, but for the few that the table merged because another collector or an earlier connection
    had brought the same update.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    now
        The present moment.
    """
    parameters = {
        "since": (now - timedelta(hours=_SEGMENT_HOURS)).isoformat(),
        "settled": (now - _SETTLED).isoformat(),
    }
    counted = client.query(
        "SELECT collector, min(first_received_ts), max(last_received_ts), sumMap(rows) "
        "FROM ingest_segments FINAL "
        "WHERE first_received_ts >= parseDateTime64BestEffort({since:String}, 6, 'UTC') "
        "AND inserted_ts < parseDateTime64BestEffort({settled:String}, 6, 'UTC') "
        "GROUP BY collector ORDER BY collector",
        parameters=parameters,
    ).result_rows
    compared = 0
    wrong: list[tuple[str, str, int, int]] = []
    for collector, first, last, rows in counted:
        for table in sorted(rows.keys() & _SEGMENT_TABLES):
            stored = client.query(
                f"SELECT count() FROM {table} WHERE collector = {{collector:String}} AND "  # noqa: S608 - names of our own list
                "received_ts BETWEEN {first:DateTime64(6, 'UTC')} AND {last:DateTime64(6, 'UTC')}",
                parameters={"collector": collector, "first": first, "last": last},
            ).result_rows[0][0]
            compared += 1
            if not (1 - _MERGED_SHARE) * rows[table] <= stored <= rows[table]:
                wrong.append((collector, table, rows[table], stored))
    lines = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in wrong[:10])
    return dg.AssetCheckEvaluation(
        asset_key=raw_key("options_quotes"),
        check_name=SEGMENTS_CHECK,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "tables_compared": compared,
            "rows_missing": sum(max(0, held - stored) for _, _, held, stored in wrong),
            "rows_too_many": sum(max(0, stored - held) for _, _, held, stored in wrong),
            **(
                {
                    "sample": dg.MetadataValue.md(
                        f"| collector | table | counted | stored |\n|---|---|---|---|\n{lines}"
                    )
                }
                if wrong
                else {}
            ),
        },
    )


def feed_checks() -> list[dg.AssetChecksDefinition]:
    """Return the checks for people who press the button."""

    @dg.asset_check(
        asset=raw_key("options_quotes"),
        name=FEED_CHECK,
        description="Every streamed market had a quote within the allowed silence.",
    )
    def fresh(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with connect(settings) as client:
            return _as_result(
                feed_evaluation(client, settings.record.feed_stale_seconds, utc_now())
            )

    @dg.asset_check(
        asset=raw_key("options_quotes"),
        name=ROWS_CHECK,
        description="Every hour closed lately holds at least the rows that were counted.",
    )
    def rows_match_ingest(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with connect(settings) as client:
            return _as_result(rows_evaluation(client, utc_now()))

    @dg.asset_check(
        asset=raw_key("options_quotes"),
        name=SEGMENTS_CHECK,
        description="Every collector's tables hold the rows that its segments counted, once.",
    )
    def rows_match_segments(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
        with connect(settings) as client:
            return _as_result(segments_evaluation(client, utc_now()))

    return [fresh, rows_match_ingest, rows_match_segments]


def feed_sensor() -> dg.SensorDefinition:
    """Return the sensor that keeps both checks up to date without a run."""

    @dg.sensor(
        name="feed",
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates the checks of the raw tables; reports a change at once.",
    )
    def feed(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        now = utc_now()
        with connect(settings) as client:
            found = [
                feed_evaluation(client, settings.record.feed_stale_seconds, now),
                rows_evaluation(client, now),
            ]
        told = _read_cursor(context.cursor)
        due = [one for one in found if _is_due(told.get(one.check_name), one.passed, now)]
        told |= {one.check_name: (one.passed, now) for one in due}
        return dg.SensorResult(asset_events=due, cursor=_write_cursor(told))

    return feed


def _is_due(told: tuple[bool, datetime] | None, passed: bool, now: datetime) -> bool:  # noqa: FBT001 - the outcome of a check
    return told is None or told[0] != passed or now - told[1] >= _REPEAT


def _read_cursor(text: str | None) -> dict[str, tuple[bool, datetime]]:
    try:
        loaded = json.loads(text) if text else {}
    except ValueError:
        loaded = {}
    if not isinstance(loaded, dict) or loaded.get("v") != _CURSOR_VERSION:
        return {}
    return {
        name: (passed, datetime.fromisoformat(at)) for name, (passed, at) in loaded["told"].items()
    }


def _write_cursor(told: dict[str, tuple[bool, datetime]]) -> str:
    plain = {name: (passed, at.isoformat()) for name, (passed, at) in told.items()}
    return json.dumps({"v": _CURSOR_VERSION, "told": plain})


def _as_result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=evaluation.passed,
        asset_key=evaluation.asset_key,
        check_name=evaluation.check_name,
        severity=evaluation.severity,
        metadata=evaluation.metadata,
    )


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

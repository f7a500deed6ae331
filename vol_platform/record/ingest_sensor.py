"""Closed hours of raw ticks, from the database to Dagster.

Whoever completes an hour writes a row to ``ingest_hours``.  This sensor turns new rows into runless
materialisations of the raw assets, hour by hour; the automation condition does the rest.  Hours
outside its window (an imported board, a long outage) are requested as runs from here.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from clickhouse_connect.driver.client import Client

from vol_platform.clock import utc_now
from vol_platform.record.model_assets import hourly_selection
from vol_platform.record.partitions import (
    HOUR,
    contiguous_ranges,
    partition_key,
    start_of_hour,
)
from vol_platform.record.raw_assets import HOURLY_RAW, raw_key
from vol_platform.settings import Settings
from vol_platform.store.client import connect

__all__ = ["ClosedHour", "Cursor", "ingest_sensor", "read_closed_hours"]

_CURSOR_VERSION = 1
_TICK_SECONDS = 4
_OVERLAP = timedelta(minutes=10)
"""How late a row may become visible after its ``closed_ts`` and still be seen."""
_ROWS_PER_TICK = 500
_OLD_HOURS_PER_TICK = 96


@dataclass(frozen=True, order=True)
class ClosedHour:
    """A row of ``ingest_hours``."""

    closed_ts: datetime
    hour: datetime
    reason: str
    collector: str
    rows: int

    @property
    def identity(self) -> str:
        """What tells this row from every other, short."""
        text = (
            f"{self.closed_ts.isoformat()}|{self.hour.isoformat()}|{self.reason}|{self.collector}"
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Cursor:
    """How far the sensor has read, with the rows of the overlap that it has seen already."""

    closed_ts: datetime | None = None
    seen: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Read a cursor; an older or foreign one starts anew, which repeats work but loses none."""
        try:
            loaded = json.loads(text) if text else {}
        except ValueError:
            loaded = {}
        if not isinstance(loaded, dict) or loaded.get("v") != _CURSOR_VERSION:
            return cls()
        return cls(datetime.fromisoformat(loaded["closed_ts"]), frozenset(loaded["seen"]))

    def text(self) -> str | None:
        """Write the cursor."""
        if self.closed_ts is None:
            return None
        return json.dumps(
            {
                "v": _CURSOR_VERSION,
                "closed_ts": self.closed_ts.isoformat(),
                "seen": sorted(self.seen),
            }
        )

    def new_rows(self, rows: Iterable[ClosedHour]) -> list[ClosedHour]:
        """Return the rows that were not seen before."""
        return [row for row in rows if row.identity not in self.seen]

    def advance(self, taken: list[ClosedHour], read: list[ClosedHour]) -> "Cursor":
        """Return the cursor after the rows that were taken, of those that were read.

        Rows that were read and not taken stay new; seen ones are forgotten only when the next tick
        does not read them any more.
        """
        if not taken:
            return self
        newest = max(row.closed_ts for row in taken)
        if self.closed_ts is not None:
            newest = max(newest, self.closed_ts)
        done = self.seen | {row.identity for row in taken}
        return Cursor(
            newest,
            frozenset(
                row.identity
                for row in read
                if row.closed_ts >= newest - _OVERLAP and row.identity in done
            ),
        )


def read_closed_hours(client: Client, cursor: Cursor) -> list[ClosedHour]:
    """Read the rows since the cursor, with the overlap, oldest first.

    Parameters
    ----------
    client
        A clickhouse-connect client.
    cursor
        Where to start.

    Returns
    -------
    list of ClosedHour
        At most the rows of one tick.
    """
    since = cursor.closed_ts - _OVERLAP if cursor.closed_ts else datetime(1970, 1, 2, tzinfo=UTC)
    # The rows of the overlap come again and must not use up the limit.
    limit = _ROWS_PER_TICK + len(cursor.seen)
    result = client.query(
        "SELECT closed_ts, hour_ts, reason, collector, rows FROM ingest_hours "
        "WHERE closed_ts >= parseDateTime64BestEffort({since:String}, 6, 'UTC') "
        "ORDER BY closed_ts, hour_ts LIMIT {limit:UInt32}",
        parameters={"since": since.isoformat(), "limit": limit},
    )
    return [
        ClosedHour(
            closed.replace(tzinfo=UTC) if closed.tzinfo is None else closed.astimezone(UTC),
            start_of_hour(hour),
            reason,
            collector,
            int(rows),
        )
        for closed, hour, reason, collector, rows in result.result_rows
    ]


def _reports(rows: list[ClosedHour]) -> list[dg.AssetMaterialization]:
    newest = {row.hour: row for row in rows}
    return [
        dg.AssetMaterialization(
            asset_key=raw_key(table),
            partition=partition_key(hour),
            description=f"hour complete: {row.reason}",
            metadata={
                "reason": row.reason,
                "collector": row.collector,
                **({"dagster/partition_row_count": row.rows} if table == "options_quotes" else {}),
            },
        )
        for hour, row in sorted(newest.items())
        for table in HOURLY_RAW
    ]


def ingest_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor.

    Parameters
    ----------
    settings
        `settings.record`: the automation window, the hours of a run, the first hour.
    """
    record = settings.record

    @dg.sensor(
        name="closed_hours",
        target=hourly_selection(),
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports hours of raw ticks that are complete; requests runs for old ones.",
    )
    def closed_hours(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        cursor = Cursor.parse(context.cursor)
        with connect(settings) as client:
            read = read_closed_hours(client, cursor)
        now = utc_now()
        oldest_automatic = start_of_hour(now) - (record.automation_window_hours - 1) * HOUR
        taken: list[ClosedHour] = []
        reported: list[ClosedHour] = []
        old: dict[datetime, ClosedHour] = {}
        for row in cursor.new_rows(read):
            if len(old) == _OLD_HOURS_PER_TICK:
                break
            taken.append(row)
            if not record.start <= row.hour <= now:
                context.log.warning(
                    "hour %s cannot be addressed: the record goes from %s to now; set "
                    "VOL_RECORD__START earlier if it should hold it",
                    partition_key(row.hour),
                    partition_key(record.start),
                )
                continue
            reported.append(row)
            if row.hour < oldest_automatic:
                old[row.hour] = row
        return dg.SensorResult(
            run_requests=[
                _request(group, old) for group in contiguous_ranges(old, record.hours_per_run)
            ],
            asset_events=_reports(reported),
            cursor=cursor.advance(taken, read).text() or context.cursor,
        )

    return closed_hours


def _request(group: tuple[datetime, ...], rows: dict[datetime, ClosedHour]) -> dg.RunRequest:
    newest = max(rows[hour].closed_ts for hour in group)
    first, last = partition_key(group[0]), partition_key(group[-1])
    run_key = f"{first}..{last}@{newest.isoformat()}"
    if len(group) == 1:
        return dg.RunRequest(run_key=run_key, partition_key=first)
    return dg.RunRequest(
        run_key=run_key,
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
        },
    )

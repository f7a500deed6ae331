"""A new expiry is told once, and what was there from the beginning is not."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from vol_platform.clock import utc_now
from vol_platform.record.expiry_sensor import expiry_sensor
from vol_platform.settings import Settings
from vol_platform_tests.record.ticks import insert_board


def tick(
    settings: Settings, instance: dg.DagsterInstance, cursor: str | None
) -> tuple[list[dict[str, object]], str | None]:
    """Evaluate the sensor; return the metadata of what it tells, and its cursor."""
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"settings": settings}
    ) as context:
        result = expiry_sensor()(context)
    assert isinstance(result, dg.SensorResult)
    told = [
        {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_events
    ]
    return told, result.cursor


def test_a_new_expiry_is_told_once_with_its_options(
    database: Settings, instance: dg.DagsterInstance
) -> None:
    now = utc_now()
    eight = now.replace(hour=8, minute=0, second=0, microsecond=0)
    first, second = eight + timedelta(days=20), eight + timedelta(days=40)
    moment: list[datetime] = [now.replace(second=0, microsecond=0)]
    insert_board(database, moment, expiries=[first])
    told, cursor = tick(database, instance, None)
    assert told == []
    rows = insert_board(database, moment, expiries=[first, second])
    told, cursor = tick(database, instance, cursor)
    assert told == [{"currency": "BTC", "expiry": f"{second:%Y-%m-%dT%H:%M}", "options": rows // 2}]
    assert tick(database, instance, cursor) == ([], cursor)
    assert tick(database, instance, "an older cursor") == ([], cursor)

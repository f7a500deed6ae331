"""New expiries: told as an observation of the instruments, with their number of options.

Nothing has to be set up for a new expiry, which is a value of a column and not a partition; the
event says when it appeared, and a listing that the exchange did not announce is seen.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

import dagster as dg

from vol_platform.clock import utc_now
from vol_platform.record.raw_assets import raw_key
from vol_platform.settings import Settings
from vol_platform.store.client import connect

__all__ = ["expiry_sensor"]

_CURSOR_VERSION = 1
_TICK_SECONDS = 59
_LISTED = """
SELECT currency, expiry_ts, count() AS options FROM instruments
WHERE kind = 'option' AND expiry_ts > {now:DateTime('UTC')}
GROUP BY currency, expiry_ts
ORDER BY currency, expiry_ts
"""

Expiries = dict[tuple[str, str], int]


def _listed(settings: Settings, now: datetime) -> Expiries:
    with connect(settings) as client:
        rows = client.query(
            _LISTED, parameters={"now": now.strftime("%Y-%m-%d %H:%M:%S")}, tz_mode="aware"
        ).result_rows
    return {
        (currency, expiry.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")): int(options)
        for currency, expiry, options in rows
    }


def _known(cursor: str | None) -> set[tuple[str, str]] | None:
    """Return what was told before; None when nothing was, or by another version."""
    try:
        loaded = json.loads(cursor) if cursor else {}
    except ValueError:
        loaded = {}
    if not isinstance(loaded, dict) or loaded.get("v") != _CURSOR_VERSION:
        return None
    return {(currency, expiry) for currency, expiry in loaded["known"]}


def _cursor(listed: Iterable[tuple[str, str]]) -> str:
    return json.dumps({"v": _CURSOR_VERSION, "known": sorted(listed)})


def expiry_sensor() -> dg.SensorDefinition:
    """Return the sensor; its first tick takes note of what is listed and tells nothing."""

    @dg.sensor(
        name="new_expiries",
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Observes raw/options_metadata when an expiry is listed for the first time.",
    )
    def new_expiries(
        context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
    ) -> dg.SensorResult:
        listed = _listed(settings, utc_now())
        known = _known(context.cursor)
        new = {} if known is None else {key: listed[key] for key in listed if key not in known}
        return dg.SensorResult(
            asset_events=[
                dg.AssetObservation(
                    raw_key("options_metadata"),
                    description=f"new expiry {expiry} of {currency}",
                    metadata={"currency": currency, "expiry": expiry, "options": options},
                )
                for (currency, expiry), options in new.items()
            ],
            # What has expired is forgotten with the listing that no longer holds it.
            cursor=_cursor(listed),
        )

    return new_expiries

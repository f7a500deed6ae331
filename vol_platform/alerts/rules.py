"""Alert rules: pure functions from the state last seen and the facts now to alerts.

Every rule alerts on a *transition*, so that a matter that lasts is told once and so is its end.
The state is a flat dictionary of strings, fit for a sensor's cursor as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from vol_platform.alerts.messages import Alert, Severity

__all__ = ["CheckResult", "Verdict", "failed_checks", "stale_feeds"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says: the alerts to send, and the state to hand to it next time."""

    alerts: tuple[Alert, ...]
    state: dict[str, str]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The newest outcome of one asset check.

    `name` is ``asset/check``; `detail` is one line with the numbers; `severity` is what a failure
    means.
    """

    name: str
    passed: bool
    detail: str = ""
    severity: Severity = "warning"


def failed_checks(results: Iterable[CheckResult], previous: Mapping[str, str]) -> Verdict:
    """Alert when a check turns from passed (or never seen) to failed, and when it recovers.

    Parameters
    ----------
    results
        Newest result of each check that has one.
    previous
        The state of the last verdict: ``{"check:<name>": "failed" | "passed"}``.  A check without a
        result now keeps its state: no news is not good news.

    Examples
    --------
    >>> first = failed_checks([CheckResult("surfaces/calendar", False, "2 crossings")], {})
    >>> [alert.title for alert in first.alerts]
    ['Check failed: surfaces/calendar']
    >>> failed_checks([CheckResult("surfaces/calendar", False)], first.state).alerts
    ()
    """
    alerts = []
    state = dict(previous)
    for result in results:
        key = f"check:{result.name}"
        was_failed = state.get(key) == "failed"
        state[key] = "passed" if result.passed else "failed"
        if not result.passed and not was_failed:
            text = result.detail or "no detail was given"
            alerts.append(Alert(key, f"Check failed: {result.name}", text, result.severity))
        elif result.passed and was_failed:
            alerts.append(Alert(key, f"Check passes again: {result.name}", result.detail, "info"))
    return Verdict(tuple(alerts), state)


def stale_feeds(
    newest: Mapping[str, datetime | None],
    now: datetime,
    limit_seconds: float,
    previous: Mapping[str, str],
) -> Verdict:
    """Alert when the newest data of a feed is older than allowed, and when it flows again.

    Parameters
    ----------
    newest
        Feed name (``options_quotes/BTC``) to the timestamp of its newest row; None: it never had
        one.
    now
        The present, timezone-aware.
    limit_seconds
        Greatest allowed age, s; must be > 0.
    previous
        The state of the last verdict: ``{"feed:<name>": "stale" | "flowing"}``.

    Raises
    ------
    ValueError
        `limit_seconds` is not positive.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> noon = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
    >>> verdict = stale_feeds({"options_quotes/BTC": noon.replace(hour=11)}, noon, 60.0, {})
    >>> verdict.alerts[0].text
    'newest row is 3600 s old (2026-06-01 11:00:00 UTC), allowed are 60 s; is the streamer running?'
    """
    if not limit_seconds > 0:
        msg = f"limit_seconds must be > 0, was {limit_seconds}"
        raise ValueError(msg)
    alerts = []
    state = dict(previous)
    for name, timestamp in newest.items():
        key = f"feed:{name}"
        age = None if timestamp is None else (now - timestamp).total_seconds()
        is_stale = age is None or age > limit_seconds
        was_stale = state.get(key) == "stale"
        state[key] = "stale" if is_stale else "flowing"
        if is_stale and not was_stale:
            what = (
                "it has no row yet"
                if age is None
                else f"newest row is {age:.0f} s old ({timestamp:%Y-%m-%d %H:%M:%S} UTC)"
            )
            text = f"{what}, allowed are {limit_seconds:g} s; is the streamer running?"
            alerts.append(Alert(key, f"Feed is stale: {name}", text, "critical"))
        elif was_stale and not is_stale:
            alerts.append(
                Alert(key, f"Feed flows again: {name}", f"newest row is {age:.0f} s old", "info")
            )
    return Verdict(tuple(alerts), state)

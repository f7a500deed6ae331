"""Rules alert on transitions, once."""

from datetime import UTC, datetime, timedelta

import pytest

from vol_platform.alerts import Alert, CheckResult, failed_checks, stale_feeds
from vol_platform.alerts.messages import MAXIMUM_MESSAGE_CHARACTERS

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_a_check_that_fails_is_told_once_and_so_is_its_recovery():
    failing = CheckResult(
        "surfaces/calendar", passed=False, detail="2 crossings", severity="critical"
    )
    first = failed_checks([failing], {})
    assert [(a.key, a.severity, a.text) for a in first.alerts] == [
        ("check:surfaces/calendar", "critical", "2 crossings")
    ]
    second = failed_checks([failing], first.state)
    assert second.alerts == ()
    third = failed_checks([CheckResult("surfaces/calendar", passed=True)], second.state)
    assert [a.severity for a in third.alerts] == ["info"]
    assert failed_checks([CheckResult("surfaces/calendar", passed=True)], third.state).alerts == ()


def test_a_check_first_seen_passing_says_nothing():
    assert failed_checks([CheckResult("a/b", passed=True)], {}).alerts == ()


def test_a_check_without_a_result_keeps_its_state():
    state = failed_checks([CheckResult("a/b", passed=False)], {}).state
    silent = failed_checks([], state)
    assert silent.alerts == ()
    assert silent.state == state


def test_a_feed_turns_stale_only_beyond_the_limit():
    def alerts(age_seconds):
        newest = {"options_quotes/BTC": NOON - timedelta(seconds=age_seconds)}
        return stale_feeds(newest, NOON, 60.0, {}).alerts

    assert alerts(60.0) == ()
    assert [a.severity for a in alerts(60.001)] == ["critical"]


def test_a_stale_feed_is_told_once_and_so_is_its_return():
    stale = stale_feeds({"f": NOON - timedelta(minutes=5)}, NOON, 60.0, {})
    assert len(stale.alerts) == 1
    assert stale_feeds({"f": NOON - timedelta(minutes=6)}, NOON, 60.0, stale.state).alerts == ()
    back = stale_feeds({"f": NOON}, NOON, 60.0, stale.state)
    assert [a.title for a in back.alerts] == ["Feed flows again: f"]


def test_a_feed_that_never_had_a_row_is_stale():
    (alert,) = stale_feeds({"spot_prices": None}, NOON, 60.0, {}).alerts
    assert "no row yet" in alert.text


def test_a_limit_that_is_not_positive_is_refused_with_its_value():
    with pytest.raises(ValueError, match="was 0"):
        stale_feeds({}, NOON, 0, {})


def test_a_long_text_is_cut_and_keeps_its_key():
    message = Alert("check:x", "title", "y" * 10_000).message()
    assert len(message) == MAXIMUM_MESSAGE_CHARACTERS
    assert message.endswith("…\n[check:x]")

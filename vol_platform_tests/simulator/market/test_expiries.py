"""The cadence of listed expiries is Deribit's."""

from datetime import date, timedelta

import pytest

from vol_platform.simulator.market.expiries import (
    board_day,
    cadence,
    day_start_ms,
    expiry_label,
    listed_expiries,
    listing_day,
)


def test_a_sunday_board_lists_dailies_weeklies_monthlies_and_quarterlies() -> None:
    labels = [expiry_label(each) for each in listed_expiries(date(2026, 11, 22))]
    dailies = ["23NOV26", "24NOV26", "25NOV26", "26NOV26"]
    fridays = ["27NOV26", "4DEC26", "11DEC26", "25DEC26", "29JAN27"]
    assert labels == [*dailies, *fridays, "26MAR27", "25JUN27", "24SEP27"]


def test_every_day_of_a_year_has_eleven_to_thirteen_expiries_and_four_dailies_or_fridays() -> None:
    for ahead in range(365):
        day = date(2026, 1, 1) + timedelta(days=ahead)
        expiries = listed_expiries(day)
        assert 11 <= len(expiries) <= 13, day
        near = {day + timedelta(days=days) for days in range(1, 5)}
        assert near <= set(expiries), day
        assert all(expiry > day for expiry in expiries)


def test_an_expiry_is_listed_from_its_listing_day_until_it_expires_without_a_break() -> None:
    days = [date(2025, 1, 1) + timedelta(days=ahead) for ahead in range(800)]
    seen: dict[date, list[date]] = {}
    for day in days:
        for expiry in listed_expiries(day):
            seen.setdefault(expiry, []).append(day)
    for expiry, listed in seen.items():
        if listed[0] != days[0] and listed[-1] != days[-1]:
            assert listed[0] == listing_day(expiry)
            assert listed[-1] == expiry - timedelta(days=1)
            assert len(listed) == (expiry - listing_day(expiry)).days


@pytest.mark.parametrize(
    ("expiry", "kind", "listed"),
    [
        (date(2026, 6, 3), "day", date(2026, 5, 30)),
        (date(2026, 6, 12), "week", date(2026, 5, 21)),
        (date(2026, 5, 29), "month", date(2026, 2, 26)),
        (date(2026, 6, 26), "quarter", date(2025, 6, 26)),
    ],
)
def test_longer_expiries_are_listed_on_a_thursday(expiry: date, kind: str, listed: date) -> None:
    assert cadence(expiry) == kind
    assert listing_day(expiry) == listed
    assert kind == "day" or listed.strftime("%A") == "Thursday"


def test_the_board_changes_at_eight() -> None:
    roll = day_start_ms(date(2026, 6, 3))
    assert board_day(roll - 1) == date(2026, 6, 2)
    assert board_day(roll) == date(2026, 6, 3)

"""Lags are differences of stamps, over the window only."""

import pytest

from vol_platform.live.lag import LagWindow


def test_quantiles_are_those_of_the_updates_in_the_window():
    window = LagWindow(60.0)
    for number in range(100):
        at = 1000.0 + 0.1 * number
        window.add(at, [round(1000 * at) - number], [round(1e9 * at) - number * 500_000])
    summary = window.summary(1010.0)
    assert summary.updates == 100
    assert summary.from_exchange_p50 == pytest.approx(0.0495, abs=1e-6)
    assert summary.from_exchange_p99 == pytest.approx(0.09801, abs=1e-6)
    assert summary.from_received_p99 == pytest.approx(0.049005, abs=1e-6)


def test_what_is_older_than_the_window_no_longer_counts():
    window = LagWindow(60.0)
    window.add(1000.0, [990_000], [990_000_000_000])
    assert window.summary(1060.0).updates == 1
    assert window.summary(1060.5).updates == 0
    assert window.summary(1060.5).from_exchange_p50 is None


def test_a_publication_without_updates_adds_nothing():
    window = LagWindow()
    window.add(1000.0, [], [])
    assert window.summary(1000.0).updates == 0

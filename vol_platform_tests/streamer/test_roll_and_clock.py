"""What happens around an expiry, and when the clocks differ."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from streamer.deribit.messages import Instrument
from streamer.deribit.session_data import Event
from streamer.feed.catalogue import Catalogue
from streamer.feed.listing import Lister
from streamer.observe.metrics import Metrics
from streamer.settings import StreamerSettings
from streamer.watch.reactions import Reactions
from vol_platform_tests.streamer.support import RECEIVED_MS, ManualClock

EXPIRING, LATER = "BTC-20NOV26-90000-C", "BTC-25DEC26-90000-C"


def option(name: str, expires: int) -> Instrument:
    return Instrument(
        name, "option", "BTC", "BTC", 1.0, 0.1, 0.0001, expiration_timestamp=expires
    )  # fmt: skip


@pytest.fixture
def catalogue() -> Catalogue:
    catalogue = Catalogue(StreamerSettings())
    listed = [option(EXPIRING, RECEIVED_MS + 30_000), option(LATER, RECEIVED_MS + 9_000_000)]
    catalogue.update("BTC", listed)
    return catalogue


def reactions(catalogue: Catalogue, clock: ManualClock, metrics: Metrics) -> Reactions:
    nobody: Any = SimpleNamespace()
    return Reactions(
        catalogue=catalogue, gaps=nobody, lister=nobody, repairer=nobody, metrics=metrics,
        clock=clock.clock, is_replay=False,
    )  # fmt: skip


def test_the_next_list_comes_just_after_the_next_expiry(catalogue):
    nobody: Any = SimpleNamespace()
    clock = ManualClock()
    lister = Lister(
        StreamerSettings(), nobody, catalogue, keep=nobody, on_channels=None, clock=clock.clock
    )
    assert lister._seconds_to_roll() == 32.0
    clock.advance(31.0)
    assert lister._seconds_to_roll() == 9_000 - 31 + 2
    clock.advance(10_000.0)
    assert lister._seconds_to_roll() == float("inf")


def test_an_expired_instrument_is_refused_without_a_word(catalogue, capsys):
    clock = ManualClock()
    clock.advance(60.0)
    reacting = reactions(catalogue, clock, Metrics())
    names = (f"ticker.{EXPIRING}.100ms", f"ticker.{LATER}.100ms", "trades.option.BTC.100ms")
    reacting.take(SimpleNamespace(number=1), Event("refused", "gone", names))
    assert reacting.refused == set(names[1:])
    said = capsys.readouterr()
    assert EXPIRING not in said.out + said.err


@pytest.mark.parametrize(
    ("offset_ms", "round_trip_ms", "level"),
    [
        (10, 5.0, None),
        (-60, 5.0, "warning"),
        (-60, 30.0, None),
        (700, 5.0, "error"),
        (700, 600.0, "warning"),
        (-3_600_000, 5.0, "error"),
    ],
)
def test_an_offset_of_the_clocks_beyond_what_the_round_trip_explains_is_told(
    catalogue, capsys, offset_ms, round_trip_ms, level
):
    clock, metrics = ManualClock(), Metrics()
    at = clock.seconds - 2.0
    exchange_ms = RECEIVED_MS - 2_000 + offset_ms
    event = Event("clock", f"{round_trip_ms} ms", (), (exchange_ms, at, round_trip_ms))
    reactions(catalogue, clock, metrics).take(SimpleNamespace(number=1), event)
    measured = metrics.registry.get_sample_value("vol_streamer_clock_offset_seconds")
    assert measured == pytest.approx(offset_ms / 1000)
    said = capsys.readouterr()
    text = said.out + said.err
    assert ("clock_offset" in text) is (level is not None)
    assert level is None or level in text

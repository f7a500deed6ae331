"""The live feed: deterministic, re-sent every five seconds, as fast as the real board."""

import numpy as np
import pytest

from vol_platform.simulator import Market
from vol_platform.simulator.market.feed import RESEND_MS, Feed, step_milliseconds
from vol_platform.simulator.market.wire import encode
from vol_platform_tests.simulator.conftest import START_MS


def _run(seed: int, steps: int, rate: float = 1.0) -> list[bytes]:
    feed = Feed(Market(seed), START_MS, rate)
    feed.snapshot(list(feed.names), START_MS)
    frames: list[bytes] = []
    for number in range(1, steps + 1):
        frames += [encode(ticker) for ticker in feed.step(START_MS + number * feed.step_ms)]
    return frames


def test_the_same_seed_and_start_give_the_same_messages_byte_for_byte() -> None:
    assert _run(7, 40) == _run(7, 40)


def test_another_seed_gives_other_messages() -> None:
    assert _run(7, 10) != _run(8, 10)


def test_every_option_speaks_at_least_every_five_seconds() -> None:
    feed = Feed(Market(7), START_MS)
    last = dict.fromkeys(feed.names, START_MS)
    for number in range(1, 130):
        time_ms = START_MS + number * feed.step_ms
        for ticker in feed.step(time_ms):
            name = ticker.instrument_name
            if name in last:
                assert time_ms - last[name] <= RESEND_MS + feed.step_ms
                last[name] = time_ms
    assert min(last.values()) > START_MS + 130 * feed.step_ms - RESEND_MS - 2 * feed.step_ms


def test_a_re_send_changes_nothing_but_the_timestamp() -> None:
    feed = Feed(Market(7), START_MS)
    before = {name: encode(t) for name, t in feed.snapshot(list(feed.names), START_MS).items()}
    repeated = 0
    for number in range(1, 51):
        time_ms = START_MS + number * feed.step_ms
        for ticker in feed.step(time_ms):
            now = encode(ticker)
            then = before.get(ticker.instrument_name)
            if then is not None and _without_time(now) == _without_time(then):
                repeated += 1
                assert now != then
            before[ticker.instrument_name] = now
    assert repeated > 200


def _without_time(frame: bytes) -> tuple[bytes, bytes]:
    head, _, tail = frame.partition(b'"timestamp":')
    return head, tail.partition(b",")[2]


@pytest.mark.parametrize(("rate", "least", "most"), [(1.0, 250, 1_500), (12.0, 2_500, 9_500)])
def test_message_rates_are_those_of_the_real_board(rate: float, least: int, most: int) -> None:
    feed = Feed(Market(7), START_MS, rate)
    steps = 6_000 // feed.step_ms
    count = sum(len(feed.step(START_MS + n * feed.step_ms)) for n in range(1, steps + 1))
    assert least < count / 6 < most


def test_fast_feeds_take_shorter_steps() -> None:
    assert [step_milliseconds(rate) for rate in (1, 10, 60, 200)] == [100, 100, 20, 10]


def test_a_roll_ends_one_board_and_begins_the_next() -> None:
    feed = Feed(Market(7), START_MS)
    ended = feed.board
    assert feed.roll(ended.end_ms - 1) is None
    roll = feed.roll(ended.end_ms)
    assert roll is not None
    assert roll.ended is ended
    assert feed.board is roll.began
    assert len(roll.last_tickers) == np.count_nonzero(ended.expiry_row == 0)
    assert feed.roll(ended.end_ms + 100) is None

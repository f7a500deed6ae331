"""Fast-forward history: the capture format, the same market as the live exchange, the roll."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vol_platform.errors import SettingsError
from vol_platform.simulator import Market
from vol_platform.simulator.exchange.capture import read_capture
from vol_platform.simulator.history import (
    HistoryOptions,
    history_lines,
    make_history_options,
    write_history,
)
from vol_platform.simulator.market.board import board_at
from vol_platform.simulator.market.tickers import TickerSource
from vol_platform.simulator.market.wire import encode
from vol_platform_tests.simulator.conftest import START_MS

MINUTE_MS = 60_000


def _history(**changes: Any) -> HistoryOptions:
    values = {"start_ms": START_MS, "end_ms": START_MS + 3 * MINUTE_MS} | changes
    return HistoryOptions(**values)


def _split(line: bytes) -> tuple[float, dict[str, Any]]:
    # An answer of get_instruments has its address in front.
    _, _, stamped = line.rpartition(b" -> ") if line.startswith(b"http") else (b"", b"", line)
    epoch, _, frame = stamped.partition(b": ")
    return float(epoch), json.loads(frame)


def test_lines_begin_with_the_instruments_and_follow_receive_time() -> None:
    lines = [_split(line) for line in history_lines(_history())]
    first = lines[0][1]
    assert {"result", "usIn", "usOut", "usDiff", "testnet"} <= set(first)
    listed = {row["instrument_name"] for row in first["result"]}
    received = [epoch for epoch, _ in lines]
    assert received == sorted(received)
    for epoch, frame in lines[1:]:
        data = frame["params"]["data"]
        stamp = (data[0] if isinstance(data, list) else data)["timestamp"]
        assert 0 <= epoch * 1000 - stamp < 100
        if frame["params"]["channel"].startswith("ticker."):
            assert data["instrument_name"] in listed


def test_every_instrument_ticks_once_a_period_and_the_index_throughout() -> None:
    counts: dict[str, int] = {}
    for line in history_lines(_history()):
        frame = _split(line)[1]
        if "params" in frame:
            channel = frame["params"]["channel"]
            counts[channel] = counts.get(channel, 0) + 1
    board = board_at(Market(7), START_MS)
    futures = [future.name for future in board.open_futures(START_MS)]
    assert all(counts[f"ticker.{name}.100ms"] == 3 for name in (*board.names, *futures))
    assert counts["deribit_price_index.btc_usd"] == 18
    assert any(channel.startswith("trades.") for channel in counts)


def test_history_says_what_the_live_exchange_would_have_said() -> None:
    market = Market(7)
    source = TickerSource(market, board_at(market, START_MS))
    compared = 0
    for line in list(history_lines(_history()))[1::97]:
        frame = _split(line)[1]["params"]
        if not frame["channel"].startswith("ticker."):
            continue
        data = frame["data"]
        row = source.board.row_of.get(data["instrument_name"])
        if row is not None:
            live = source.options(np.array([row]), np.array([data["timestamp"]]))[0]
            assert json.loads(encode(live)) == data
            compared += 1
    assert compared > 25


def test_two_windows_join_to_one() -> None:
    whole = list(history_lines(_history(seconds_between_ticks=20.0)))
    middle = START_MS + 80_000
    parts = list(history_lines(_history(end_ms=middle, seconds_between_ticks=20.0)))
    parts += list(history_lines(_history(start_ms=middle, seconds_between_ticks=20.0)))[1:]
    assert parts == whole


def test_the_roll_ends_the_old_board_and_lists_the_new_one() -> None:
    roll = board_at(Market(7), START_MS).end_ms
    lines = history_lines(_history(start_ms=roll - MINUTE_MS, end_ms=roll + MINUTE_MS))
    frames = [_split(line)[1] for line in lines]
    answers = [frame["result"] for frame in frames if "result" in frame]
    before, after = ({row["instrument_name"] for row in rows} for rows in answers)
    assert before != after
    last = [
        frame["params"]["data"]
        for frame in frames
        if "params" in frame and frame["params"]["channel"].startswith("ticker.")
    ]
    ended = [data for data in last if data.get("estimated_delivery_price") == "expired"]
    gone = {name for name in before - after if name.count("-") == 3}
    assert {data["instrument_name"] for data in ended} == gone


@pytest.mark.parametrize("suffix", [".txt", ".gz", ".zst"])
def test_what_is_written_is_a_capture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"history{suffix}"
    count = write_history(_history(end_ms=START_MS + 20_000), str(path))
    capture = read_capture(path)
    assert len(capture.frames) == count - 1, "all but the answer of get_instruments"
    assert len(capture.instrument_rows) > 850


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.0, 60.0), "--hours must be > 0, was 0"),
        ((1.0, 0.0), "--seconds-between-ticks must be 0.1 to 3600, was 0"),
    ],
)
def test_wrong_values_are_named(values: tuple[float, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        make_history_options(datetime(2026, 6, 3, tzinfo=UTC), *values, 7, "BTC")


def test_an_end_without_a_zone_is_refused() -> None:
    with pytest.raises(SettingsError, match="--end must carry a zone"):
        make_history_options(datetime.fromisoformat("2026-06-03T10:00:00"), 1, 60, 7, "BTC")


def test_sparse_history_keeps_the_board_simultaneous_at_the_minute() -> None:
    ages = [
        -frame["params"]["data"]["timestamp"] % MINUTE_MS
        for _, frame in map(_split, history_lines(_history()))
        if "params" in frame and "mark_iv" in frame["params"]["data"]
    ]
    assert len(ages) > 2_000
    assert max(ages) <= 5_000

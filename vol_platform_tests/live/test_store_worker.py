"""ClickHouse beside the hot path: rows arrive once, and its absence is only noted."""

import time
from datetime import timedelta

import polars as pl
import pytest

from vol_platform.clock import utc_now
from vol_platform.live.store_worker import StoreWorker
from vol_platform.settings import ClickHouseSettings, Settings
from vol_platform.store.client import connect, query_frame
from vol_platform_tests.live import boards
from vol_platform_tests.live.boards import START, Board, milliseconds

# The live tables keep two days: rows of an old instant would be gone at once.
NOW = utc_now()
METRICS = pl.DataFrame(
    {
        "computed_ts": [NOW, NOW],
        "snapshot_ts": [NOW, NOW],
        "currency": ["BTC", "BTC"],
        "metric": ["atm_vol_30d", "options"],
        "value": [0.4, 900.0],
        "code_version": ["1", "1"],
    }
)


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def worker(database):
    worker = StoreWorker(database, 120.0)
    yield worker
    assert worker.close(20.0)


def test_the_same_block_twice_is_there_once(database, worker):
    for _ in range(2):
        assert worker.write({"live_metrics": METRICS}, "one token")
        until(lambda: worker.idle)
    with connect(database) as client:
        stored = query_frame(client, "SELECT metric, value FROM live_metrics ORDER BY metric")
    assert stored.rows() == [("atm_vol_30d", 0.4), ("options", 900.0)]
    assert worker.connected is True
    assert worker.written_blocks == 2


def test_a_block_that_comes_while_one_is_written_is_skipped_and_counted(worker):
    worker._writing.set()
    assert not worker.write({"live_metrics": METRICS}, "another")
    assert worker.skipped_blocks == 1
    worker._writing.clear()


def test_the_state_is_that_of_the_raw_tables(database, worker):
    board = Board()
    boards.store(database, board, START - timedelta(seconds=3))
    boards.store(database, board, START, board.names[:5])
    assert worker.ask_for_state()
    states = []
    until(lambda: states.append(worker.take_state()) or states[-1] is not None)
    state = states[-1]
    columns, rows = state.options
    newest = {row[columns.index("instrument_name")]: row for row in rows}
    assert set(newest) == set(board.names)
    for name, at in ((board.names[0], START), (board.names[-1], START - timedelta(seconds=3))):
        wire = dict(zip(boards.QUOTE_COLUMNS, board.quotes(at, [name])[0], strict=True))
        read = dict(zip(columns, newest[name], strict=True))
        assert read["exchange_ts"] == wire["exchange_ts"]
        assert read["received_ts"] == wire["received_ts"]
        assert read["bid_price"] == pytest.approx(wire["bid_price"], abs=5.1e-9)
        assert read["mark_iv"] == pytest.approx(wire["mark_iv"], abs=5.1e-5)
        assert read["state"] == "open"
    columns, rows = state.specifications
    first = dict(zip(columns, rows[0], strict=True))
    assert first["tick_size_steps"] == [[0.005, 0.0005]]
    assert len(rows) == len(board.names)
    assert [row[state.futures[0].index("mark_price")] for row in state.futures[1]] == [
        boards.FORWARD
    ]
    assert list(state.index[1]) == [("btc_usd", milliseconds(START), boards.FORWARD)]


def test_quotes_that_cannot_count_any_more_are_not_read(database, worker):
    board = Board()
    boards.store(database, board, START - timedelta(seconds=200))
    boards.store(database, board, START, board.names[:5])
    worker.ask_for_state()
    states = []
    until(lambda: states.append(worker.take_state()) or states[-1] is not None)
    assert len(states[-1].options[1]) == 5


def test_a_clickhouse_that_is_away_is_noted_and_nothing_is_raised():
    worker = StoreWorker(Settings(clickhouse=ClickHouseSettings(port=9)), 120.0)
    assert worker.write({"live_metrics": METRICS}, "token")
    until(lambda: worker.connected is False)
    assert "127.0.0.1:9" in worker.last_error
    until(lambda: worker.idle)
    assert worker.skipped_blocks == 1
    assert worker.close(20.0)


def test_it_comes_back_with_clickhouse(database):
    worker = StoreWorker(Settings(clickhouse=ClickHouseSettings(port=9)), 120.0)
    worker.ask_for_state()
    until(lambda: worker.connected is False and worker.idle)
    worker._settings = database
    worker.write({"live_metrics": METRICS}, "token")
    until(lambda: worker.connected is True)
    assert worker.last_error == ""
    assert worker.close(20.0)

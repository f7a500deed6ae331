"""The newest state: newer wins, units change once, old quotes leave."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from vol_platform.derivations.contracts import (
    CHAIN_COLUMNS,
    FUTURES_COLUMNS,
    INDEX_COLUMNS,
    INSTANT,
)
from vol_platform.derivations.raw import INSTRUMENT_COLUMNS, QUOTE_COLUMNS, assemble_chain
from vol_platform.live.market import FUTURE_TOLERANCE_MILLISECONDS, Market
from vol_platform_tests.live import boards
from vol_platform_tests.live.boards import START, Board, milliseconds


@pytest.fixture
def board() -> Board:
    return Board(days=(3.0, 24.0), strikes=5)


@pytest.fixture
def market(board) -> Market:
    """All options specified and quoted at START."""
    market = Market("BTC")
    named = [
        dict(zip(boards.SPECIFICATION_COLUMNS, row, strict=True)) for row in board.specifications()
    ]
    assert market.apply_specifications(named)
    market.apply_quotes(boards.QUOTE_COLUMNS, board.quotes(START))
    return market


def quoted(market: Market, name: str) -> dict[str, object]:
    chain = market.frames(60.0)["chain"]
    return chain.row(by_predicate=pl.col("instrument_name") == name, named=True)


def test_frames_have_exactly_the_columns_of_the_contract(market):
    frames = market.frames(60.0)
    for name, columns in (
        ("chain", CHAIN_COLUMNS),
        ("futures", FUTURES_COLUMNS),
        ("index", INDEX_COLUMNS),
    ):
        assert dict(frames[name].schema) == dict(columns)


def test_prices_keep_their_unit_and_volatilities_become_decimals(market, board):
    name = board.names[0]
    wire = dict(zip(boards.QUOTE_COLUMNS, board.quotes(START, [name])[0], strict=True))
    row = quoted(market, name)
    assert row["bid_price"] == wire["bid_price"]
    assert row["bid_iv"] == pytest.approx(wire["bid_iv"] / 100, rel=1e-15)
    assert row["tick_step_above"] == [0.005]
    assert row["source"] == "stream"
    assert milliseconds(row["snapshot_ts"]) == milliseconds(START)


def test_an_older_row_changes_nothing(market, board):
    before = market.frames(60.0)["chain"]
    late = board.quotes(START - timedelta(seconds=1), level=0.9)
    applied = market.apply_quotes(boards.QUOTE_COLUMNS, late)
    assert applied.exchange_milliseconds == []
    assert market.frames(60.0)["chain"].equals(before)


def test_of_two_rows_of_one_instant_the_later_received_wins(market, board):
    name = board.names[0]
    again = board.quotes(START, [name], level=0.9, lag_milliseconds=9)
    assert market.apply_quotes(boards.QUOTE_COLUMNS, again).exchange_milliseconds
    assert quoted(market, name)["mark_iv"] > 0.9
    sooner = board.quotes(START, [name], level=0.1, lag_milliseconds=7)
    assert not market.apply_quotes(boards.QUOTE_COLUMNS, sooner).exchange_milliseconds
    assert quoted(market, name)["mark_iv"] > 0.9


def test_an_absent_side_is_null(market, board):
    name = board.names[0]
    row = board.quotes(START + timedelta(seconds=1), [name])[0]
    row[boards.QUOTE_COLUMNS.index("bid_price")] = None
    market.apply_quotes(boards.QUOTE_COLUMNS, [row])
    assert quoted(market, name)["bid_price"] is None


def test_a_quote_as_old_as_the_limit_leaves_its_option_listed_but_silent(market, board):
    moved, silent = board.names[0], board.names[1]
    market.apply_quotes(boards.QUOTE_COLUMNS, board.quotes(START + timedelta(seconds=60), [moved]))
    assert quoted(market, moved)["age_seconds"] == 0.0
    row = quoted(market, silent)
    assert row["exchange_ts"] is None
    assert row["bid_price"] is None
    assert row["strike"] is not None


def test_a_stamp_from_the_future_is_not_believed(market, board):
    far = board.quotes(
        START + timedelta(hours=1),
        [board.names[0]],
        lag_milliseconds=-FUTURE_TOLERANCE_MILLISECONDS - 1,
    )
    applied = market.apply_quotes(boards.QUOTE_COLUMNS, far)
    assert applied.from_the_future == 1
    assert market.newest_exchange_milliseconds == milliseconds(START)


def test_an_option_without_specification_is_counted_and_kept(board):
    market = Market("BTC")
    applied = market.apply_quotes(boards.QUOTE_COLUMNS, board.quotes(START))
    assert market.without_specification == len(board.names)
    assert applied.expiries == {0}
    assert market.frames(60.0)["chain"]["expiry_ts"].null_count() == len(board.names)


def test_the_same_specification_again_is_no_change(market, board):
    named = [
        dict(zip(boards.SPECIFICATION_COLUMNS, row, strict=True)) for row in board.specifications()
    ]
    assert not market.apply_specifications(named)
    named[0]["tick_size"] = 0.0005
    assert market.apply_specifications(named)


def test_it_grows_beyond_its_first_size():
    board = Board(days=tuple(range(2, 14)), strikes=30)
    market = Market("BTC")
    market.apply_quotes(boards.QUOTE_COLUMNS, board.quotes(START))
    chain = market.frames(60.0)["chain"]
    assert market.options == len(board.names) == chain.height > 512
    assert chain["bid_price"].null_count() == 0


def test_expired_options_are_forgotten_and_the_others_keep_their_quotes(market, board):
    near = [name for name in board.names if board.expiry(name) < START + timedelta(days=10)]
    far = [name for name in board.names if name not in near]
    before = quoted(market, far[-1])
    gone = market.forget_expired(milliseconds(START + timedelta(days=10)))
    assert sorted(gone) == sorted(near)
    assert market.options == len(far)
    assert quoted(market, far[-1]) == before
    assert market.frames(60.0)["chain"].height == len(far)


def test_futures_need_a_known_delivery_unless_they_are_perpetual(market, board):
    dated = board.perpetual(START)[0]
    dated[0], dated[4] = "BTC-26JUN26", "future"
    market.apply_futures(boards.FUTURE_COLUMNS, [*board.perpetual(START), dated])
    assert market.frames(60.0)["futures"]["instrument_name"].to_list() == ["BTC-PERPETUAL"]
    expiry = milliseconds(START + timedelta(days=24))
    market.apply_specifications(
        [{"instrument_name": dated[0], "kind": "future", "expiry_ts": expiry}]
    )
    futures = market.frames(60.0)["futures"].sort("instrument_name")
    assert futures["expiry_ts"].to_list()[1] is None
    assert milliseconds(futures["expiry_ts"][0]) == expiry


def test_the_index_is_the_tick_or_else_what_the_quotes_carry(market):
    assert market.frames(60.0)["index"]["price"].to_list() == [boards.FORWARD]
    market.apply_index(milliseconds(START), 71_000.0)
    market.apply_index(milliseconds(START) - 1, 1.0)
    assert market.frames(60.0)["index"]["price"].to_list() == [71_000.0]


@pytest.mark.parametrize("seed", range(8))
def test_the_chain_is_what_the_record_assembles(seed):
    random = np.random.default_rng(seed)
    board = Board(days=(3.0, 24.0), strikes=5)
    market = Market("BTC")
    named = []
    for row in board.specifications():
        specification = dict(zip(boards.SPECIFICATION_COLUMNS, row, strict=True))
        listed = random.choice(["before", "later", "unknown", "without"], p=[0.6, 0.1, 0.2, 0.1])
        if listed == "later":
            specification["creation_ts"] = milliseconds(START + timedelta(hours=1))
        if random.random() < 0.1:
            specification["expiry_ts"] = milliseconds(START - timedelta(hours=1))
        if listed == "unknown":
            specification["creation_ts"] = None
        if listed != "without":
            named.append(specification)
    market.apply_specifications(named)
    quotes = []
    for name in board.names:
        age = random.choice([None, 0.0, 30.0, 60.0, 200.0])
        if age is not None:
            rows = board.quotes(START - timedelta(seconds=age), [name])
            if random.random() < 0.3:
                rows[0][boards.QUOTE_COLUMNS.index("ask_price")] = None
            quotes += rows
    quotes += board.quotes(START, [board.names[-1]])
    market.apply_quotes(boards.QUOTE_COLUMNS, quotes)
    expected = assemble_chain(*as_the_record_reads(market, named, quotes))
    assert_frame_equal(market.frames(60.0)["chain"], expected)


def as_the_record_reads(market, named, quotes):
    """Frames of the newest young quotes and of the specifications, made the plain way."""
    newest = {}
    for row in quotes:
        wire = dict(zip(boards.QUOTE_COLUMNS, row, strict=True))
        name = wire["instrument_name"]
        if name not in newest or wire["exchange_ts"] > newest[name]["exchange_ts"]:
            newest[name] = wire
    snapshot = market.newest_exchange_milliseconds
    rows = []
    for wire in newest.values():
        age = (snapshot - wire["exchange_ts"]) / 1000
        if age < 60.0:
            decimals = {name: wire[name] / 100 for name in ("bid_iv", "ask_iv", "mark_iv")}
            own = {"snapshot_ts": snapshot, "age_seconds": age, "source": "stream"}
            rows.append({**wire, **decimals, **own})
    specifications = [
        {
            **row,
            "is_call": row["option_type"] == "call",
            "is_inverse": True,
            "premium_currency": "BTC",
            "tick_step_above": [0.005],
            "tick_step_size": [0.0005],
        }
        for row in named
    ]
    made = []
    for plain, columns in ((rows, QUOTE_COLUMNS), (specifications, INSTRUMENT_COLUMNS)):
        integers = {name: pl.Int64() if kind == INSTANT else kind for name, kind in columns.items()}
        frame = pl.DataFrame(
            [{name: row[name] for name in columns} for row in plain], schema=integers
        )
        instants = [name for name, kind in columns.items() if kind == INSTANT]
        made.append(
            frame.with_columns(pl.col(instants).cast(pl.Datetime("ms", "UTC")).cast(INSTANT))
        )
    return made

"""The live view on the real engines: from a batch to Redis and ClickHouse, whatever is away."""

import json
import time
from datetime import timedelta

import pytest
import redis

from vol_platform.clock import utc_now
from vol_platform.derivations.contracts import DerivationContext
from vol_platform.live.engine import plan
from vol_platform.live.view import LiveView
from vol_platform.settings import LiveSettings, RedisSettings
from vol_platform.store.client import connect, query_frame
from vol_platform_tests.live import boards
from vol_platform_tests.live.boards import Board, payload, store

NO_REDIS = "redis://127.0.0.1:9/0"


def now():
    """Whole seconds, so that the wire's milliseconds say the same."""
    return utc_now().replace(microsecond=0)


@pytest.fixture
def board():
    return Board(start=now(), days=(3.0, 24.0, 115.0), strikes=9)


@pytest.fixture
def settings(database, redis_url):
    return database.model_copy(
        update={
            "redis": RedisSettings(url=redis_url),
            "live": LiveSettings(loop_milliseconds=10, store_interval_seconds=0.2),
        }
    )


@pytest.fixture
def client(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def running():
    """Start views that are closed at the end."""
    views = []

    def start(settings):
        views.append(LiveView(settings))
        views[-1]._store.ask_for_state()
        return views[-1]

    yield start
    for view in views:
        view.close()


def turn_until(view, condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        view.turn(0.01)
    return result


def surface(client, settings, currency="BTC"):
    text = client.get(f"{settings.clickhouse.database}:{currency}:surface")
    return json.loads(text) if text else None


def status(client, settings):
    text = client.get(f"{settings.clickhouse.database}:BTC:status")
    return json.loads(text) if text else None


def test_it_starts_warm_from_clickhouse(board, settings, client, running):
    store(settings, board, now())
    view = running(settings)
    found = turn_until(view, lambda: surface(client, settings))
    assert [row["status"] for row in found["expiries"]] == ["ok"] * 3
    assert found["expiries"][1]["atm_vol"] == pytest.approx(0.4, abs=2e-3)


def test_a_batch_moves_the_surface_and_its_lag_is_published(board, settings, client, running):
    store(settings, board, now() - timedelta(seconds=5))
    view = running(settings)
    turn_until(view, lambda: surface(client, settings))
    at = now()
    moved = payload(boards.QUOTE_COLUMNS, board.quotes(at, level=0.5))
    client.publish(f"{settings.clickhouse.database}:batches:options_quotes", moved)
    turn_until(view, lambda: surface(client, settings)["expiries"][0]["atm_vol"] > 0.48)
    found = turn_until(view, lambda: (s := status(client, settings)) and s["lag"]["updates"] and s)
    assert found["state"] == "live"
    assert found["lag"]["updates"] == len(board.names)
    assert 0 < found["lag"]["from_received_p99_seconds"] < 30
    assert found["lag"]["from_exchange_p50_seconds"] > found["lag"]["from_received_p50_seconds"]
    assert found["redis"]["connected"]
    assert found["source"] == "redis"


def test_a_board_that_clickhouse_never_saw_comes_over_redis_alone(board, settings, client, running):
    view = running(settings)
    turn_until(view, lambda: view._feed.connected and view._store.connected)
    channel = f"{settings.clickhouse.database}:batches"
    client.publish(
        f"{channel}:options_metadata",
        payload(boards.SPECIFICATION_COLUMNS, board.specifications(), 1),
    )
    client.publish(
        f"{channel}:options_quotes", payload(boards.QUOTE_COLUMNS, board.quotes(now()), 2)
    )
    found = turn_until(view, lambda: surface(client, settings))
    assert len(found["expiries"]) == 3


def test_several_markets_are_kept_apart(settings, client, running):
    bitcoin, ether = Board(start=now()), Board("ETH", start=now(), level=0.6)
    store(settings, bitcoin, now())
    store(settings, ether, now())
    view = running(settings)
    turn_until(view, lambda: surface(client, settings, "ETH") and surface(client, settings, "BTC"))
    assert surface(client, settings, "ETH")["expiries"][0]["atm_vol"] > 0.55
    assert surface(client, settings, "BTC")["expiries"][0]["atm_vol"] < 0.45


def test_the_live_tables_are_filled_and_what_is_live_is_what_the_record_derives(
    board, settings, running
):
    at = now()
    store(settings, board, at)
    view = running(settings)
    turn_until(view, lambda: view._store.written_blocks)
    with connect(settings) as clickhouse:
        read = {
            table: query_frame(
                clickhouse,
                f"SELECT * FROM {table} WHERE computed_ts = (SELECT max(computed_ts) FROM {table})",  # noqa: S608 - names of this list
            )
            for table in ("live_surfaces", "live_greeks", "live_metrics")
        }
    frames = view._sides["BTC"].market.frames(60.0)
    for derivation in plan():
        frames[derivation.name] = derivation.derive(frames, DerivationContext())
    expected = frames["surfaces"].sort("expiry_ts")
    stored = read["live_surfaces"].sort("expiry_ts")
    assert stored["atm_vol"].to_list() == pytest.approx(expected["atm_vol"].to_list(), abs=1e-6)
    assert read["live_greeks"].height == frames["options_greeks"].height == len(board.names)
    metrics = dict(read["live_metrics"].select("metric", "value").iter_rows())
    assert metrics["options"] == len(board.names)
    assert metrics["expiries_ok"] == 3
    assert set(read["live_metrics"]["currency"]) == {"BTC"}


def test_without_redis_clickhouse_is_served_and_read(board, settings, running):
    store(settings, board, now() - timedelta(seconds=2))
    alone = settings.model_copy(update={"redis": RedisSettings(url=NO_REDIS)})
    view = running(alone)
    turn_until(view, lambda: view._store.written_blocks)
    store(settings, Board(start=board.start, strikes=9, level=0.7), now())
    with connect(settings) as clickhouse:

        def newest():
            rows = query_frame(
                clickhouse, "SELECT atm_vol FROM live_surfaces ORDER BY computed_ts DESC LIMIT 1"
            )
            return rows.height and rows.item() > 0.65

        turn_until(view, newest)
    found = view.status("BTC", view._sides["BTC"])
    assert found["source"] == "clickhouse"
    assert not found["redis"]["connected"]
    assert found["clickhouse"]["connected"]
    assert found["lag"]["updates"] >= len(board.names)


def test_without_clickhouse_redis_is_served_and_the_status_says_so(
    board, settings, client, running
):
    away = settings.clickhouse.model_copy(update={"port": 9})
    view = running(settings.model_copy(update={"clickhouse": away}))
    turn_until(view, lambda: view._feed.connected)
    channel = f"{settings.clickhouse.database}:batches"
    for sequence, (table, columns, rows) in enumerate(
        (
            ("options_metadata", boards.SPECIFICATION_COLUMNS, board.specifications()),
            ("options_quotes", boards.QUOTE_COLUMNS, board.quotes(now())),
        ),
        start=1,
    ):
        client.publish(f"{channel}:{table}", payload(columns, rows, sequence))
    turn_until(view, lambda: surface(client, settings))
    found = turn_until(
        view,
        lambda: (s := status(client, settings)) and s["clickhouse"]["connected"] is False and s,
    )
    assert found["state"] == "live"
    assert "127.0.0.1:9" in found["clickhouse"]["last_error"]


def test_a_market_that_cannot_be_computed_does_not_stop_the_others(
    board, settings, client, running, monkeypatch
):
    store(settings, board, now())
    store(settings, Board("ETH", start=now()), now())
    view = running(settings)
    compute = view._engine.compute

    def torn(market):
        if market.currency == "BTC":
            raise ArithmeticError("torn")
        return compute(market)

    monkeypatch.setattr(view._engine, "compute", torn)
    turn_until(view, lambda: surface(client, settings, "ETH"))
    assert surface(client, settings, "BTC") is None
    found = turn_until(view, lambda: status(client, settings))
    assert (found["state"], found["last_error"]) == ("failing", "ArithmeticError: torn")


def test_a_batch_that_makes_no_sense_is_left_out_and_the_next_one_counts(
    board, settings, client, running
):
    store(settings, board, now() - timedelta(seconds=5))
    view = running(settings)
    turn_until(view, lambda: surface(client, settings))
    rows = board.quotes(now(), level=0.5)
    torn = [[*row[:5], "no price", *row[6:]] for row in rows]
    for sequence, sent in enumerate((torn, rows), start=1):
        client.publish(
            f"{settings.clickhouse.database}:batches:options_quotes",
            payload(boards.QUOTE_COLUMNS, sent, sequence),
        )
    turn_until(view, lambda: surface(client, settings)["expiries"][0]["atm_vol"] > 0.48)
    assert view._feed.unreadable_batches == 1


def test_a_market_that_does_not_move_is_written_once(board, settings, running):
    store(settings, board, now())
    view = running(settings)
    turn_until(view, lambda: view._store.written_blocks >= 4)
    with connect(settings) as clickhouse:
        query = "SELECT uniqExact(computed_ts) FROM {table:Identifier}"
        written = {
            table: query_frame(clickhouse, query, {"table": table}).item()
            for table in ("live_surfaces", "live_metrics")
        }
    assert written["live_surfaces"] == 1
    assert written["live_metrics"] >= 4


def test_it_skips_to_the_newest_state_instead_of_queueing(board, settings, client, running):
    store(settings, board, now() - timedelta(seconds=5))
    view = running(settings)
    turn_until(view, lambda: surface(client, settings))
    turns = []
    compute = view._engine.compute
    view._engine.compute = lambda market: turns.append(1) or compute(market)
    at = now()
    for number in range(20):
        rows = board.quotes(at + timedelta(milliseconds=number), level=0.4 + 0.005 * number)
        client.publish(
            f"{settings.clickhouse.database}:batches:options_quotes",
            payload(boards.QUOTE_COLUMNS, rows, number + 1),
        )
    turn_until(view, lambda: surface(client, settings)["expiries"][0]["atm_vol"] > 0.485)
    assert len(turns) < 5, "twenty batches that had arrived are one or two computations"

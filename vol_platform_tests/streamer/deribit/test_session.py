"""The session with the exchange, played by hand: requests, heartbeats, credits, time and locks."""

from __future__ import annotations

import msgspec
import pytest

from streamer.deribit.sequences import TradeWatch
from streamer.deribit.session import Session
from vol_platform_tests.streamer.deribit.session_talk import LIMITS, Talk, tickers
from vol_platform_tests.streamer.support import frame


def test_it_sets_a_heartbeat_and_subscribes_in_chunks():
    talk = Talk(tickers(7))
    methods = [request["method"] for request in talk.pump()]
    assert methods[0] == "public/set_heartbeat"
    assert methods.count("public/subscribe") == 3
    chunks = [len(r["params"]["channels"]) for r in talk.requests("public/subscribe")]
    assert chunks == [3, 3, 1]


def test_every_request_has_an_id_of_its_own():
    talk = Talk(tickers(7))
    talk.pump()
    ids = [request["id"] for request in talk.sent]
    assert len(set(ids)) == len(ids)


def test_it_answers_a_test_request_and_only_that():
    talk = Talk()
    talk.pump()
    beat = {"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "heartbeat"}}
    talk.session.receive(msgspec.json.encode(beat), talk.now)
    assert talk.pump() == []
    beat["params"]["type"] = "test_request"
    talk.session.receive(msgspec.json.encode(beat), talk.now)
    assert [request["method"] for request in talk.pump()] == ["public/test"]
    talk.session.receive(b'{"method":"heartbeat"}', talk.now)
    assert talk.pump() == []


@pytest.mark.parametrize(
    "odd", [b"{", b"\xff", b'{"a":' * 100_000, b'{"id":99,"result":1}', b'{"id":"x"}', b"{}"]
)
def test_a_frame_that_makes_no_sense_changes_nothing(odd):
    talk = Talk(tickers(1))
    talk.accept_all()
    talk.session.receive(odd, talk.now)
    assert talk.session.failure is None
    assert talk.kinds() == []


def test_subscribing_keeps_within_the_credits_of_the_exchange():
    talk = Talk(tickers(60))
    for _ in range(1000):
        talk.pump(0.01)
    spent = [3_000.0] * len(talk.requests("public/subscribe"))
    assert len(spent) == 20
    first = Talk(tickers(60))
    at_once = [r for r in first.pump() if r["method"] == "public/subscribe"]
    assert len(at_once) == 9  # of a pool of 30,000, with a margin
    left = first.session.credits(first.now)
    assert left["subscribe"] < 3_000.0 < left["other"] < 45_000.0


def test_a_lifecycle_message_is_an_event_with_its_data():
    talk = Talk(["instrument.state.any.BTC"])
    talk.session.receive(frame("instrument.state.any.BTC", {"state": "created"}), talk.now)
    (event,) = talk.session.events()
    assert (event.kind, event.data) == ("lifecycle", b'{"state":"created"}')


def test_exhausted_credits_are_treated_as_spent():
    talk = Talk(tickers(3))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, 10028)
    talk.session.want(tickers(3, start=10))
    assert talk.pump(0.1) == []


def test_an_error_without_cure_ends_the_session_for_good():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, -32601)
    assert talk.session.failure is not None
    assert talk.session.failure_is_final


def test_a_dead_socket_is_noticed_by_missing_heartbeats():
    talk = Talk(["trades.option.BTC.100ms"])
    talk.accept_all()
    talk.pump(19.9)
    assert talk.session.failure is None
    talk.pump(0.1)
    assert "no heartbeat" in str(talk.session.failure)
    assert not talk.session.failure_is_final


def test_heartbeats_without_data_are_silence():
    talk = Talk(tickers(1))
    talk.accept_all()
    talk.data(tickers(1)[0])
    for _ in range(6):
        assert talk.session.failure is None
        talk.session.receive(b'{"method":"heartbeat","params":{"type":"heartbeat"}}', talk.now)
        talk.pump(1.0)
    assert "no data for 6.0 s" in str(talk.session.failure)
    talk.pump(60.0)
    assert "no data for 6.0 s" in str(talk.session.failure)  # the first cause is kept


def test_it_asks_for_the_time_and_reports_the_middle_of_the_round_trip():
    talk = Talk()
    (question,) = [r for r in talk.pump() if r["method"] == "public/get_time"]
    talk.now += 0.5
    talk.reply(question, 1, usIn=2_000_000, usOut=4_000_000)
    (event,) = talk.session.events()
    assert (event.kind, event.data) == ("clock", (3_000.0, 100.25, 500.0))
    talk.session.receive(b"{}", talk.now)
    talk.pump(15.0)
    talk.session.receive(b"{}", talk.now)
    talk.pump(15.0)
    talk.session.receive(b"{}", talk.now)
    talk.pump(15.0)
    talk.session.receive(b"{}", talk.now)
    talk.pump(15.0)
    assert len(talk.requests("public/get_time")) == 2
    talk.reply(talk.requests("public/get_time")[1], 1)  # without timing there is nothing to say
    assert talk.kinds() == []


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        ({"maintenance": True}, ["lifecycle", "lock"]),
        ({"allow_unauthenticated_public_requests": False}, ["lifecycle"]),
    ],
)
def test_a_lock_is_told_beside_the_message(state, kinds):
    talk = Talk(["platform_state"])
    talk.session.receive(frame("platform_state", state), talk.now)
    assert talk.kinds() == kinds


def test_missing_trades_are_noticed_whichever_session_saw_the_last():
    watch = TradeWatch()
    channel = "trades.option.BTC.100ms"
    for numbers in ([1, 2], [5]):
        session = Session(LIMITS, None, watch)
        session.want([channel])
        session.open(0.0)
        trades = [
            {"instrument_name": "BTC-25DEC26-1-C", "trade_seq": it, "timestamp": it}
            for it in numbers
        ]
        session.receive(frame(channel, trades), 1.0)
        events = session.events()
    (event,) = events
    assert (event.kind, event.channels) == ("trades_missing", (channel,))
    assert event.detail == "trade_seq 3 to 4"
    assert event.data.count == 2


def test_it_says_whether_it_has_something_to_send():
    talk = Talk()
    assert talk.session.has_work
    talk.pump()
    assert not talk.session.has_work

"""What becomes of each channel: accepted, left out, refused, silent, mute."""

from __future__ import annotations

import itertools

import pytest

from streamer.deribit.session import Session
from vol_platform_tests.streamer.deribit.session_talk import BOOK, LIMITS, Talk, tickers
from vol_platform_tests.streamer.support import frame


def test_it_is_complete_only_with_data_on_every_channel_that_speaks_by_itself():
    talk = Talk([*tickers(2), "trades.option.BTC.100ms"])
    assert not talk.session.is_complete
    talk.accept_all()
    assert not talk.session.is_complete
    talk.data(tickers(2)[0])
    assert not talk.session.is_complete
    talk.data(tickers(2)[1])
    assert talk.session.is_complete


def test_data_before_the_reply_counts_and_the_late_reply_changes_nothing():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.data(tickers(1)[0])
    assert talk.session.is_complete
    talk.reply(request, [])
    assert talk.session.is_complete
    assert talk.kinds() == []


def test_channels_missing_from_the_reply_are_tried_again_and_then_reported():
    talk = Talk(tickers(2))
    first, missing = tickers(2)
    for _ in range(LIMITS.attempts):
        for request in talk.pump(5.0):
            if request["method"] == "public/subscribe":
                talk.reply(request, [first])
        talk.data(first)
    asked = [r["params"]["channels"] for r in talk.requests("public/subscribe")]
    assert asked == [[first, missing], [missing], [missing]]
    (refused,) = [event for event in talk.session.events() if event.kind == "refused"]
    assert refused.channels == (missing,)
    assert talk.session.is_complete
    talk.session.want([missing])  # asked for again, it is tried again
    assert not talk.session.is_complete


def test_an_unreadable_reply_accepts_nothing():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.reply(request, {"what": 1})
    assert [r["method"] for r in talk.pump(1.5)] == ["public/subscribe"]


def test_a_channel_dropped_meanwhile_is_not_missed():
    talk = Talk(tickers(2))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.session.drop([tickers(2)[1], "never.wanted"])
    talk.reply(request, [tickers(2)[0]])
    talk.data(tickers(2)[0])
    assert talk.session.is_complete
    (unsubscribe,) = talk.pump()
    assert unsubscribe["method"] == "public/unsubscribe"
    assert unsubscribe["params"]["channels"] == [tickers(2)[1]]
    talk.refuse(unsubscribe, 11050)
    assert talk.session.wanted == frozenset(tickers(1))


def test_a_channel_dropped_before_the_socket_is_there_is_forgotten_silently():
    session = Session(LIMITS)
    session.want(tickers(1))
    session.drop(tickers(1))
    session.tick(1.0)
    assert session.outgoing(1.0) == []
    assert not session.is_complete


def test_a_channel_that_was_never_wanted_is_read_all_the_same():
    talk = Talk(tickers(1))
    talk.data("ticker.OTHER.100ms")
    assert not talk.session.has_data("ticker.OTHER.100ms")


def test_wanting_a_channel_twice_and_an_ordinary_ok_change_nothing():
    talk = Talk(tickers(1))
    for request in talk.pump():
        talk.reply(request, request["params"].get("channels", "ok"))
    talk.data(tickers(1)[0])
    talk.session.want(tickers(1))
    assert talk.session.is_complete
    assert talk.pump(1.0) == []


def test_a_new_socket_forgets_everything_but_what_is_wanted():
    talk = Talk(tickers(1))
    talk.accept_all()
    talk.data(tickers(1)[0])
    talk.session.failure = "lost"
    talk.session.open(talk.now)
    assert talk.session.failure is None
    assert not talk.session.is_complete
    assert talk.session.wanted == frozenset(tickers(1))
    assert [r for r in talk.pump() if r["method"] == "public/subscribe"]


def test_raw_channels_and_others_never_share_a_request():
    raw = ["book.BTC-PERPETUAL.raw", "ticker.BTC-PERPETUAL.raw"]
    talk = Talk([raw[0], *tickers(2), raw[1]])
    talk.pump()
    asked = [r["params"]["channels"] for r in talk.requests("public/subscribe")]
    assert asked == [raw, tickers(2)]


@pytest.mark.parametrize("code", [10040, 10041, 11051, 13028, 10028, 10066, 13888, 99999])
def test_a_passing_error_is_tried_again_until_it_works(code):
    talk = Talk(tickers(1))
    for request in talk.pump():
        if request["method"] == "public/subscribe":
            talk.refuse(request, code)
    again = list(itertools.chain(*(talk.pump(1.0) for _ in range(5))))
    (request,) = [r for r in again if r["method"] == "public/subscribe"]
    talk.reply(request, tickers(1))
    talk.data(tickers(1)[0])
    assert talk.session.is_complete
    assert talk.kinds() == ["error"]


def test_a_refused_request_is_split_until_the_bad_channel_is_alone():
    good, bad = tickers(2)
    talk = Talk([good, bad])
    for _ in range(6):
        for request in talk.pump(1.0):
            channels = request["params"].get("channels", [])
            if request["method"] == "public/subscribe":
                if bad in channels:
                    talk.refuse(request, -32602)
                else:
                    talk.reply(request, channels)
                    talk.data(good)
    refused = [event for event in talk.session.events() if event.kind == "refused"]
    assert [event.channels for event in refused] == [(bad,)]
    assert talk.session.is_complete


def test_raw_without_a_login_is_refused_for_good():
    talk = Talk(["ticker.BTC-PERPETUAL.raw"])
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, 13778)
    assert talk.kinds() == ["error", "refused"]
    assert talk.session.failure is None


def test_a_refusal_of_raw_gives_up_the_raw_channels_alone():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, 13778)
    assert talk.kinds() == ["error"]
    assert [r["method"] for r in talk.pump(1.5)] == ["public/subscribe"]


def test_an_error_for_a_channel_dropped_meanwhile_is_forgotten():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.session.drop(tickers(1))
    talk.refuse(request, 10040)
    assert talk.session.wanted == frozenset()


def test_a_session_that_got_nothing_says_why():
    unasked, refused = tickers(2)
    talk = Talk([refused])
    for _ in range(LIMITS.attempts):
        for request in talk.pump(5.0):
            if request["method"] == "public/subscribe":
                talk.reply(request, [])
    assert talk.session.is_refused
    talk.session.want([unasked])
    assert not talk.session.is_refused
    left_out = "the exchange left it out of its reply"
    assert talk.session.unaccepted == {refused: left_out, unasked: "not answered"}


def test_requests_without_a_reply_are_made_again():
    talk = Talk(tickers(3))
    talk.pump()
    talk.data(tickers(3)[0])
    for _ in range(12):
        talk.session.receive(b"{}", talk.now)
        talk.data(tickers(3)[0])
        talk.pump(1.0)
    asked = [r["params"]["channels"] for r in talk.requests("public/subscribe")]
    assert asked == [tickers(3), tickers(3)[1:]]


def test_a_reply_that_never_comes_for_a_dropped_channel_is_forgotten():
    talk = Talk(tickers(1))
    talk.pump()
    talk.session.drop(tickers(1))
    talk.session.receive(b"{}", talk.now + 9)
    talk.pump(10.0)
    assert talk.session.wanted == frozenset()


def test_trades_may_be_silent_for_ever():
    talk = Talk(["trades.option.BTC.100ms"])
    talk.accept_all()
    for _ in range(100):
        talk.session.receive(b"{}", talk.now)
        talk.pump(5.0)
    assert talk.session.failure is None
    assert talk.session.is_complete


def test_a_channel_without_a_first_frame_is_subscribed_anew_and_then_called_mute():
    loud, quiet = tickers(2)
    talk = Talk([loud, quiet])
    for _ in range(120):
        for request in talk.pump(1.0):
            if request["method"] == "public/subscribe":
                talk.reply(request, request["params"]["channels"])
        talk.data(loud)
    assert len(talk.requests("public/unsubscribe")) == 2
    (mute,) = [event for event in talk.session.events() if event.kind == "mute"]
    assert mute.channels == (quiet,)
    assert talk.session.is_complete
    assert talk.session.failure is None


def test_a_ticker_that_falls_silent_is_subscribed_anew_every_half_minute():
    loud, quiet = tickers(2)
    talk = Talk([loud, quiet, BOOK])
    talk.accept_all()
    talk.data(quiet)
    talk.data(BOOK)
    for _ in range(75):
        talk.data(loud)
        for request in talk.pump(1.0):
            talk.reply(request, request["params"].get("channels", "ok"))
    renewed = [r["params"]["channels"] for r in talk.requests("public/unsubscribe")]
    assert renewed == [[quiet], [quiet]]
    assert talk.session.is_complete


def test_a_silent_ticker_is_named_with_the_time_of_its_last_data():
    talk = Talk([*tickers(2), "book.BTC-PERPETUAL.100ms"])
    for channel in talk.session.wanted:
        talk.data(channel)
    talk.now += 31.0
    talk.data(tickers(2)[1])
    assert talk.session.silent_channels(30.0, talk.now) == [(tickers(2)[0], 100.0)]


def test_a_locked_exchange_may_be_silent():
    talk = Talk([*tickers(1), "platform_state", "trades.option.BTC.100ms"])
    talk.accept_all()
    talk.data(tickers(1)[0])
    for locked in (True, False):
        state = {"price_index": "btc_usd", "locked": locked}
        talk.session.receive(frame("platform_state", state), talk.now)
        events = [event for event in talk.session.events() if event.kind == "lock"]
        assert [(event.detail, event.data) for event in events] == [("btc_usd", locked)]
        assert talk.session.is_locked is locked
        for _ in range(40 if locked else 20):
            talk.session.receive(b"{}", talk.now)
            talk.pump(1.0)
        assert (talk.session.failure is None) is locked
    assert talk.requests("public/unsubscribe") == []

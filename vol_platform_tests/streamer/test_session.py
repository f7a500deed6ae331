"""The session with the exchange, played by hand."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from streamer.deribit.error_codes import Reaction, rule_of
from streamer.deribit.platform import lock_of
from streamer.deribit.sequences import TradeWatch
from streamer.deribit.session import Session
from streamer.deribit.session_data import Credentials, SessionLimits
from vol_platform_tests.streamer.support import frame

LIMITS = SessionLimits(channels_per_subscribe=3)
KEY = Credentials("me", "hidden")


def tickers(count: int, start: int = 0) -> list[str]:
    return [f"ticker.BTC-25DEC26-{number}-C.100ms" for number in range(start, start + count)]


class Talk:
    """A session and the exchange that a test plays."""

    def __init__(self, channels=(), *, limits=LIMITS, credentials=None):
        self.now = 100.0
        self.session = Session(limits, credentials)
        self.session.want(channels)
        self.session.open(self.now)
        self.sent: list[dict] = []

    def pump(self, seconds: float = 0.0) -> list[dict]:
        """Let time pass and return the requests that the session sends."""
        self.now += seconds
        self.session.tick(self.now)
        requests = [msgspec.json.decode(raw) for raw in self.session.outgoing(self.now)]
        self.sent += requests
        return requests

    def requests(self, method: str) -> list[dict]:
        return [request for request in self.sent if request["method"] == method]

    def reply(self, request: dict, result=None, **more) -> None:
        answer = {"jsonrpc": "2.0", "id": request["id"], **more}
        if "error" not in more:
            answer["result"] = result
        self.session.receive(msgspec.json.encode(answer), self.now)

    def refuse(self, request: dict, code: int) -> None:
        self.reply(request, error={"code": code, "message": "no", "data": None})

    def data(self, channel: str) -> None:
        self.session.receive(frame(channel, {}), self.now)

    def accept_all(self) -> None:
        for request in self.pump():
            if request["method"] == "public/subscribe":
                self.reply(request, list(reversed(request["params"]["channels"])))

    def kinds(self) -> list[str]:
        return [event.kind for event in self.session.events()]


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


def test_a_channel_that_was_never_wanted_is_read_all_the_same():
    talk = Talk(tickers(1))
    talk.data("ticker.OTHER.100ms")
    assert not talk.session.has_data("ticker.OTHER.100ms")


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


def test_exhausted_credits_are_treated_as_spent():
    talk = Talk(tickers(3))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, 10028)
    talk.session.want(tickers(3, start=10))
    assert talk.pump(0.1) == []


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


def test_an_error_without_cure_ends_the_session_for_good():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, -32601)
    assert talk.session.failure is not None
    assert talk.session.failure_is_final


def test_an_error_for_a_channel_dropped_meanwhile_is_forgotten():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.session.drop(tickers(1))
    talk.refuse(request, 10040)
    assert talk.session.wanted == frozenset()


def test_every_code_of_the_table_has_a_name_and_a_reaction():
    assert rule_of(10028).reaction is Reaction.DRAIN
    assert rule_of(12345) == ("error_12345", Reaction.RETRY)


def test_it_logs_in_before_it_subscribes_and_again_before_the_login_ends():
    talk = Talk(tickers(1), credentials=KEY)
    methods = [request["method"] for request in talk.pump()]
    assert "public/auth" in methods
    assert "public/subscribe" not in methods
    (login,) = talk.requests("public/auth")
    assert login["params"]["client_secret"] == "hidden"
    talk.reply(login, {"access_token": "a", "expires_in": 900, "refresh_token": "again"})
    assert talk.kinds() == ["logged_in"]
    (subscribe,) = talk.pump()
    talk.reply(subscribe, tickers(1))
    for _ in range(72):
        talk.data(tickers(1)[0])
        talk.pump(10.0)
    second = talk.requests("public/auth")[1]
    assert second["params"] == {"grant_type": "refresh_token", "refresh_token": "again"}


def test_a_login_without_an_end_is_not_refreshed():
    talk = Talk(credentials=KEY)
    talk.pump()
    talk.reply(talk.requests("public/auth")[0], {})
    talk.session.receive(b"{}", talk.now)
    assert talk.session.failure is None


def test_the_secret_is_in_no_repr():
    assert "hidden" not in repr(KEY)


@pytest.mark.parametrize(("code", "is_final"), [(13004, True), (11051, False)])
def test_a_refused_login_ends_the_session(code, is_final):
    talk = Talk(tickers(1), credentials=KEY)
    talk.pump()
    talk.refuse(talk.requests("public/auth")[0], code)
    assert "login failed" in str(talk.session.failure)
    assert talk.session.failure_is_final is is_final


def test_an_unreadable_login_ends_the_session():
    talk = Talk(credentials=KEY)
    talk.pump()
    talk.reply(talk.requests("public/auth")[0], [])
    assert "cannot be read" in str(talk.session.failure)


def test_an_expired_token_is_renewed():
    talk = Talk(tickers(1), credentials=KEY)
    talk.pump()
    talk.reply(talk.requests("public/auth")[0], {"refresh_token": "old", "expires_in": 900})
    (subscribe,) = talk.pump()
    talk.refuse(subscribe, 13009)
    talk.pump()
    assert talk.requests("public/auth")[1]["params"]["grant_type"] == "client_credentials"


def test_an_exchange_that_wants_a_login_we_do_not_have_ends_the_session():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, 13009)
    assert "CLIENT_ID" in str(talk.session.failure)


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


def test_a_login_without_a_reply_ends_the_session():
    talk = Talk(credentials=KEY)
    talk.pump()
    talk.pump(10.0)
    assert "no reply to the login" in str(talk.session.failure)


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


def test_a_silent_ticker_is_named_with_the_time_of_its_last_data():
    talk = Talk([*tickers(2), "book.BTC-PERPETUAL.100ms"])
    for channel in talk.session.wanted:
        talk.data(channel)
    talk.now += 31.0
    talk.data(tickers(2)[1])
    assert talk.session.silent_channels(30.0, talk.now) == [(tickers(2)[0], 100.0)]


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


def test_wanting_a_channel_twice_and_an_ordinary_ok_change_nothing():
    talk = Talk(tickers(1))
    for request in talk.pump():
        talk.reply(request, request["params"].get("channels", "ok"))
    talk.data(tickers(1)[0])
    talk.session.want(tickers(1))
    assert talk.session.is_complete
    assert talk.pump(1.0) == []


BOOK = "book.BTC-PERPETUAL.100ms"


def change(number: int, before: int) -> dict:
    return {"type": "change", "change_id": number, "prev_change_id": before}


def snapshot(number: int) -> dict:
    return {"type": "snapshot", "change_id": number}


class BookTalk(Talk):
    """A session with one book and one ticker, both accepted and speaking."""

    def __init__(self, **options):
        super().__init__([BOOK, *tickers(1)], **options)
        self.accept_all()
        self.say(snapshot(10))
        self.data(tickers(1)[0])

    def say(self, data: dict) -> None:
        self.session.receive(frame(BOOK, data), self.now)

    def of(self, method: str, requests: list[dict]) -> list[dict]:
        return [request for request in requests if request["method"] == method]


def test_a_whole_chain_asks_for_nothing():
    talk = BookTalk()
    for number in range(11, 30):
        talk.say(change(number, number - 1))
    talk.say(change(29, 28))  # the last one twice
    assert talk.pump() == []
    assert talk.kinds() == []


def test_a_broken_book_alone_is_subscribed_anew_and_is_whole_with_its_snapshot():
    talk = BookTalk()
    talk.now += 2.0
    talk.say(change(13, 12))
    (broken,) = talk.session.events()
    assert (broken.kind, broken.channels, broken.data) == ("book_broken", (BOOK,), 100.0)
    assert broken.detail == "expected to follow change_id 10, but follows change_id 12"
    (leave,) = talk.pump()
    assert (leave["method"], leave["params"]) == ("public/unsubscribe", {"channels": [BOOK]})
    assert BOOK not in talk.session.unaccepted  # it was heard
    talk.say(change(14, 13))  # still of the old subscription
    assert talk.pump() == []
    talk.reply(leave, [BOOK])
    (join,) = talk.pump()
    assert (join["method"], join["params"]) == ("public/subscribe", {"channels": [BOOK]})
    talk.reply(join, [BOOK])
    assert talk.kinds() == []
    talk.say(snapshot(20))
    talk.say(change(21, 20))
    assert talk.kinds() == ["book_whole"]
    assert talk.session.is_complete
    assert talk.pump() == []


def test_a_book_whose_snapshot_is_lost_is_asked_for_until_it_comes():
    talk = BookTalk()
    talk.say(change(13, 12))
    joins = 0
    for _ in range(100):
        talk.data(tickers(1)[0])
        for request in talk.pump(1.0):
            channels = request["params"].get("channels", [])
            talk.reply(request, channels)
            joins += request["method"] == "public/subscribe"
            if request["method"] == "public/subscribe":
                talk.say(change(50 + joins, 49 + joins))
    assert joins == 4  # at once, then every thirty seconds
    assert talk.kinds() == ["book_broken"]


def test_a_book_broken_when_the_socket_is_lost_is_whole_with_the_next_snapshot():
    talk = BookTalk()
    talk.say(change(13, 12))
    assert talk.kinds() == ["book_broken"]
    talk.session.open(talk.now)
    talk.accept_all()
    talk.say(snapshot(90))
    assert talk.kinds() == ["book_whole"]


@pytest.mark.parametrize("answer", ["error", "silence"])
def test_an_unsubscribe_without_a_good_answer_does_not_hold_the_book_up(answer):
    talk = BookTalk()
    talk.say(change(13, 12))
    (leave,) = talk.pump()
    if answer == "error":
        talk.refuse(leave, 11050)
        requests = talk.pump()
    else:
        requests = []
        for _ in range(11):
            talk.data(tickers(1)[0])
            requests += talk.pump(1.0)
    assert len(talk.of("public/subscribe", requests)) == 1


def test_a_broken_book_that_is_dropped_meanwhile_is_only_unsubscribed():
    talk = BookTalk()
    talk.say(change(13, 12))
    talk.session.drop([BOOK])
    (leave,) = talk.pump()
    talk.reply(leave, [BOOK])
    assert talk.pump(5.0) == []


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


@pytest.mark.parametrize(
    ("state", "lock"),
    [
        ({"maintenance": True}, ("*", True)),
        ({"price_index": "eth_usd", "locked": "false"}, ("eth_usd", False)),
        ({"price_index": "eth_usd", "locked": "partial"}, ("eth_usd", True)),
        ({"allow_unauthenticated_public_requests": False}, None),
        ([1], None),
    ],
)
def test_every_form_of_platform_state_is_understood(state, lock):
    assert lock_of(msgspec.json.encode(state)) == lock
    talk = Talk(["platform_state"])
    talk.session.receive(frame("platform_state", state), talk.now)
    assert talk.kinds() == (["lifecycle"] if lock is None else ["lifecycle", "lock"])


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


def test_raw_channels_and_others_never_share_a_request():
    raw = ["book.BTC-PERPETUAL.raw", "ticker.BTC-PERPETUAL.raw"]
    talk = Talk([raw[0], *tickers(2), raw[1]])
    talk.pump()
    asked = [r["params"]["channels"] for r in talk.requests("public/subscribe")]
    assert asked == [raw, tickers(2)]


def test_a_refusal_of_raw_gives_up_the_raw_channels_alone():
    talk = Talk(tickers(1))
    (request,) = [r for r in talk.pump() if r["method"] == "public/subscribe"]
    talk.refuse(request, 13778)
    assert talk.kinds() == ["error"]
    assert [r["method"] for r in talk.pump(1.5)] == ["public/subscribe"]


def test_it_says_whether_it_has_something_to_send():
    talk = Talk()
    assert talk.session.has_work
    talk.pump()
    assert not talk.session.has_work


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

"""A book whose chain breaks is subscribed anew, alone, until its snapshot comes."""

from __future__ import annotations

import pytest

from vol_platform_tests.streamer.deribit.session_talk import BOOK, Talk, tickers
from vol_platform_tests.streamer.support import frame


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

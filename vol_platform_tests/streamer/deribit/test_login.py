"""Logging in, again before the login ends, and what ends a session without one."""

from __future__ import annotations

import pytest

from streamer.deribit.session_data import Credentials
from vol_platform_tests.streamer.deribit.session_talk import Talk, tickers

KEY = Credentials("me", "hidden")


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


def test_a_login_without_a_reply_ends_the_session():
    talk = Talk(credentials=KEY)
    talk.pump()
    talk.pump(10.0)
    assert "no reply to the login" in str(talk.session.failure)


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

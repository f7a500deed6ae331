"""Delivery against a stand-in for the Bot API: a real HTTP server on loopback."""

import http.server
import json
import logging
import threading
from dataclasses import dataclass, field

import pytest
import stamina
from structlog.testing import capture_logs

from vol_platform.alerts import Alert, notify, telegram
from vol_platform.errors import AlertError, SettingsError
from vol_platform.settings import Settings, TelegramSettings

TOKEN = "4242:very-secret-token"
ALERT = Alert("feed:BTC", "BTC feed is stale", "no quote for 75 s", "critical")


@dataclass
class BotApi:
    """Answers with `refusals` in turn, then 200; remembers what it was asked."""

    address: str = ""
    refusals: list[tuple[int, dict]] = field(default_factory=list)
    refused_chats: set[int] = field(default_factory=set)
    asked: list[tuple[str, dict]] = field(default_factory=list)


@pytest.fixture
def bot_api():
    api = BotApi()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.asked.append((self.path, body))
            status, answer = 200, {"ok": True, "result": {"message_id": len(api.asked)}}
            if api.refusals:
                status, answer = api.refusals.pop(0)
            elif body["chat_id"] in api.refused_chats:
                status, answer = 403, {"ok": False, "description": "Forbidden: bot was blocked"}
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    api.address = f"http://127.0.0.1:{server.server_port}/bot"
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def retries_without_waiting():
    with stamina.set_testing(True, attempts=4):
        yield


def settings(api, *chat_ids, token=TOKEN):
    return Settings(telegram=TelegramSettings(token=token, chat_ids=chat_ids, base_url=api.address))


def test_an_alert_reaches_every_chat_of_the_list(bot_api):
    assert notify(settings(bot_api, 7, -1001), ALERT) == (7, -1001)
    assert [path for path, _ in bot_api.asked] == [f"/bot{TOKEN}/sendMessage"] * 2
    assert [body["chat_id"] for _, body in bot_api.asked] == [7, -1001]
    assert bot_api.asked[0][1]["text"] == ALERT.message()


def test_a_chat_outside_the_list_gets_nothing(bot_api):
    with pytest.raises(SettingsError, match="chat 8 is not allowed"):
        notify(settings(bot_api, 7), ALERT, chat_ids=[7, 8])
    assert bot_api.asked == []


def test_without_a_token_it_says_so_once_and_returns(bot_api):
    telegram._say_once.cache_clear()
    with capture_logs() as logs:
        assert notify(settings(bot_api, 7, token=""), ALERT) == ()
        assert notify(settings(bot_api, 7, token=""), ALERT) == ()
    assert [log["cure"] for log in logs] == ["set VOL_TELEGRAM__TOKEN"]
    assert bot_api.asked == []


@pytest.mark.parametrize(
    "refusal",
    [
        (500, {"ok": False}),
        (429, {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": 0}}),
    ],
)
def test_a_passing_refusal_is_tried_again(bot_api, refusal):
    bot_api.refusals = [refusal, refusal]
    assert notify(settings(bot_api, 7), ALERT) == (7,)
    assert len(bot_api.asked) == 3


def test_the_wait_that_telegram_asks_for_is_kept_within_bounds():
    assert telegram._wanted_wait(telegram._TransientError("x", 3.0)) == 3.0
    assert telegram._wanted_wait(telegram._TransientError("x", 3600.0)) == 30.0
    assert telegram._wanted_wait(telegram._TransientError("x")) is True
    assert telegram._wanted_wait(AlertError("x")) is False


def test_a_lasting_refusal_is_not_tried_again_and_names_the_cure(bot_api):
    bot_api.refusals = [(401, {"ok": False, "description": "Unauthorized"})]
    with pytest.raises(
        AlertError, match=r"chat 7: HTTP 401 Unauthorized; check VOL_TELEGRAM__TOKEN"
    ):
        notify(settings(bot_api, 7), ALERT)
    assert len(bot_api.asked) == 1


def test_one_blocked_chat_does_not_keep_the_others_from_it(bot_api):
    bot_api.refused_chats = {7}
    with pytest.raises(AlertError, match=r"chat 7: HTTP 403 Forbidden.*delivered to \[8\]"):
        notify(settings(bot_api, 7, 8), ALERT)


@pytest.mark.parametrize("answer", [[], "text", {"parameters": 3}, {"description": 5}])
def test_a_refusal_of_unexpected_shape_is_still_a_refusal(bot_api, answer):
    bot_api.refusals = [(400, answer)]
    with pytest.raises(AlertError, match="HTTP 400"):
        notify(settings(bot_api, 7), ALERT)


def test_no_server_is_one_clear_error():
    with pytest.raises(AlertError, match="no answer \\(ConnectError\\)"):
        notify(settings(BotApi("http://127.0.0.1:9/bot"), 7), ALERT)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/bot", "http://[::bad/bot"])
def test_the_token_is_in_no_log_error_or_repr(bot_api, caplog, capsys, address):
    caplog.set_level(logging.DEBUG)
    notify(settings(bot_api, 7), ALERT)
    bot_api.refusals = [(404, {"ok": False, "description": "Not Found"})]
    shown = [repr(settings(bot_api, 7))]
    for bad in (settings(bot_api, 7), settings(BotApi(address), 7)):
        with pytest.raises(AlertError) as error:
            notify(bad, ALERT)
        shown.append(str(error.value))
        # A crash report may print the local variables of our frames (the first one is this test's).
        shown += [repr(entry.locals) for entry in error.traceback[1:]]
    printed = capsys.readouterr()
    assert "HTTP Request: POST" in caplog.text
    assert TOKEN not in "".join(shown) + caplog.text + printed.out + printed.err

"""A session with the exchange, and the exchange that a test plays."""

from __future__ import annotations

import msgspec

from streamer.deribit.session import Session
from streamer.deribit.session_data import SessionLimits
from vol_platform_tests.streamer.support import frame

LIMITS = SessionLimits(channels_per_subscribe=3)
BOOK = "book.BTC-PERPETUAL.100ms"


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

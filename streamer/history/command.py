"""``vol-streamer history``: bring the exchange's past into the tables, and compare with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from streamer.catalogue import listing_currency
from streamer.clock import SYSTEM_CLOCK
from streamer.deribit.rest import RestClient, instruments_of
from streamer.errors import HistoryError, StreamerError
from streamer.history.compare import (
    Comparison,
    compare_trades,
    compare_with_charts,
    missing_numbers,
)
from streamer.history.history_store import HistoryStore, time_text
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
from streamer.log import configure
from streamer.settings import StreamerSettings, load_settings
from streamer.store import TRANSIENT_ERRORS

__all__ = ["history"]

history = typer.Typer(add_completion=False, invoke_without_command=True)

_FromOption = Annotated[
    str | None, typer.Option("--from", help="Day or time, UTC: 2026-06-01 or 2026-06-01T08:00.")
]
_ToOption = Annotated[
    str | None, typer.Option("--to", help="Up to, exclusive; a day is taken whole. Default: now.")
]
_CurrenciesOption = Annotated[
    str | None, typer.Option(help="Such as BTC,ETH,SOL_USDC. Default: VOL_STREAMER_CURRENCIES.")
]


@history.callback()
def _backfill(
    context: typer.Context,
    first: _FromOption = None,
    last: _ToOption = None,
    what: Annotated[str, typer.Option(help=f"Some of {','.join(KINDS_OF_DATA)}.")] = ",".join(
        KINDS_OF_DATA
    ),
    currencies: _CurrenciesOption = None,
    resolution: Annotated[
        int, typer.Option(help="Of candles, in minutes: 1, 60, 720 or 1440.")
    ] = 1,
    again: Annotated[
        bool, typer.Option("--again", help="Also ask for what earlier runs have stored.")
    ] = False,
) -> None:
    """Bring the exchange's past into the tables; interrupted, the same command goes on."""
    if context.invoked_subcommand is not None:
        return

    async def work(session: _Session) -> None:
        interval = session.interval(first, last)
        kinds = _kinds(what)
        if resolution not in RESOLUTIONS:
            raise HistoryError(f"--resolution must be 1, 60, 720 or 1440, was {resolution}")
        backfill = session.backfill(again=again)
        if "trades" in kinds:
            _say(await backfill.run(trade_tasks(session.markets, interval)))
        tasks = await session.chart_tasks(kinds, interval, resolution)
        if tasks:
            _say(await backfill.run(tasks))

    _run(work, currencies)


@history.command()
def compare(
    first: _FromOption = None, last: _ToOption = None, currencies: _CurrenciesOption = None
) -> None:
    """Compare the tables with the exchange's past; exit code 1 when they differ."""
    results: list[Comparison] = []

    async def work(session: _Session) -> None:
        interval = session.interval(first, last)
        results.extend(await session.compare(interval))

    _run(work, currencies)
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
            help="Store the receive times of Tardis; rows older than the retention vanish.",
        ),
    ] = False,
) -> None:
    """Store option quotes of Tardis; the same file again adds nothing."""
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

    def interval(self, first: str | None, last: str | None) -> Interval:
        if first is None:
            raise HistoryError("say from when: --from 2026-06-01")
        start = _moment_ms("--from", first, whole_day=False)
        end = self._now_ms if last is None else _moment_ms("--to", last, whole_day=True)
        interval = Interval(start, min(end, self._now_ms))
        if not interval.length_ms:
            raise HistoryError(
                f"--from must be before --to and before now ({time_text(self._now_ms)} over "
                f"there), was {first}"
            )
        return interval

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


def _run(work: Callable[[_Session], Coroutine[Any, Any, None]], currencies: str | None) -> None:
    """Do the work of a command."""
    with _one_line_for_mistakes():
        chosen = None if currencies is None else tuple(filter(None, currencies.split(",")))
        asyncio.run(_with_session(load_settings(currencies=chosen), work))


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


def _moment_ms(flag: str, text: str, *, whole_day: bool) -> int:
    """Return a moment that a person typed; the end of a day when the day is to be taken whole."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise HistoryError(
            f"{flag} must be a day or a time like 2026-06-01 or 2026-06-01T08:00, was {text!r}"
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    is_day = len(text) == len("2026-06-01")
    return round(moment.timestamp() * 1000) + (86_400_000 if whole_day and is_day else 0)


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

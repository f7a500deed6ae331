"""Runs the tasks of a backfill: asks, stores, keeps the progress."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from streamer.clock import Clock
from streamer.deribit.messages import RestAnswer
from streamer.errors import ExchangeError, ExchangeRefusedError, HistoryError
from streamer.feed.rest import RestClient
from streamer.history.history_store import HistoryStore, Stored
from streamer.history.intervals import Interval, without
from streamer.history.meter import Meter
from streamer.history.pager import Call, Pager
from streamer.history.tasks import Task
from streamer.history.trade_pager import TradePager

__all__ = ["Asker", "Backfill", "Outcome"]

_ATTEMPTS = 8
_LONGEST_PAUSE_SECONDS = 30.0

Show = Callable[[str, Meter], None]


@dataclass(slots=True)
class Outcome:
    """What a backfill did.

    Attributes
    ----------
    stored
        By kind of data.
    calls
        Requests that were answered.
    missing
        Trades that the exchange did not give although their numbers were skipped.
    """

    stored: dict[str, Stored] = field(default_factory=dict)
    calls: int = 0
    missing: int = 0


class Asker:
    """Asks until there is an answer.

    Parameters
    ----------
    rest
        The exchange.
    seed
        Of the jitter of the pauses.
    pause_seconds
        First pause after a failure; each later one is twice as long.
    """

    def __init__(self, rest: RestClient, *, seed: int, pause_seconds: float = 1.0) -> None:
        self._rest = rest
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._pause = pause_seconds

    async def ask(self, call: Call) -> msgspec.Raw:
        """Return the result of a call.

        Raises
        ------
        ExchangeRefusedError
            The exchange will always refuse it.
        ExchangeError
            It failed eight times.
        """
        attempt = 0
        while True:
            try:
                body = await self._rest.call(call.method, call.parameters)
                return msgspec.json.decode(body, type=RestAnswer).result
            except ExchangeRefusedError as error:
                asked = ", ".join(f"{name}={value}" for name, value in call.parameters.items())
                raise ExchangeRefusedError(f"{error} (asked with {asked})") from None
            except ExchangeError:
                attempt += 1
                if attempt >= _ATTEMPTS:
                    raise
            pause = min(_LONGEST_PAUSE_SECONDS, self._pause * 2 ** (attempt - 1))
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.0))


class Backfill:
    """Asks for what is missing of some tasks and stores it.

    Parameters
    ----------
    trades, charts
        Who is asked for trades, and for everything else.
    host
        Their name, under which progress is kept.
    store
        Where rows go.
    clock
        Where the time comes from.
    show
        Told of the progress.
    again
        Also ask for what was done before.
    """

    def __init__(
        self,
        *,
        trades: Asker,
        charts: Asker,
        host: str,
        store: HistoryStore,
        clock: Clock,
        show: Show,
        again: bool = False,
    ) -> None:
        self._trades = trades
        self._charts = charts
        self._host = host
        self._store = store
        self._clock = clock
        self._show = show
        self._again = again

    async def run(self, tasks: Iterable[Task]) -> Outcome:
        """Run the tasks one after another.

        What is stored before an error or an interruption stays, and the next run goes on from
        there.

        Raises
        ------
        ExchangeError
            A call failed eight times, or is refused.
        HistoryError
            An answer cannot be read.
        """
        outcome = Outcome()
        meter = Meter(self._clock.monotonic())
        open_parts = []
        for task in tasks:
            outcome.stored.setdefault(task.what, Stored())
            done = [] if self._again else self._store.done(task.what, task.subject, self._host)
            parts = without(task.interval, done)
            meter.total += task.weight * sum(part.length_ms for part in parts)
            open_parts += [(task, part) for part in parts]
        for task, part in open_parts:
            await self._run_part(task, part, outcome, meter)
        return outcome

    async def _run_part(self, task: Task, part: Interval, outcome: Outcome, meter: Meter) -> None:
        pager = task.open(part)
        asker = self._trades if task.what == "trades" else self._charts
        rows = 0
        while (call := pager.next_call()) is not None:
            before = pager.done_to_ms
            raws = await self._page(asker, pager, call)
            outcome.calls += 1
            # The store is asked in between: pages come one at a time, and nobody else waits here.
            stored = self._store.put(pager.table, raws)
            outcome.stored[task.what].add(stored)
            rows += stored.received
            meter.rows += stored.received
            meter.done += task.weight * (pager.done_to_ms - before)
            if pager.done_to_ms > before:
                self._store.note(task.what, task.subject, self._host, part, pager.done_to_ms, rows)
            self._show(f"{task.what} {task.subject}", meter)
        if isinstance(pager, TradePager):
            outcome.missing += pager.missing

    async def _page(self, asker: Asker, pager: Pager, call: Call) -> list[bytes]:
        try:
            return pager.take(await asker.ask(call))
        except ExchangeRefusedError:
            if pager.give_up():
                return []
            raise
        except msgspec.DecodeError as error:
            raise HistoryError(
                f"the answer to {call.method} {call.parameters} cannot be read: {error}; "
                "nothing of it was stored"
            ) from None

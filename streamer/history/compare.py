"""What the tables hold against what the exchange says about the same time; nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.history.history_store import HistoryStore, differing_trades, time_text, trade_key
from streamer.history.intervals import Interval
from streamer.history.meter import Meter
from streamer.history.run import Asker, Show
from streamer.history.tasks import Task

__all__ = ["Comparison", "compare_trades", "compare_with_charts", "missing_numbers"]

_EXAMPLES = 5


@dataclass(slots=True)
class Comparison:
    """One line of the comparison.

    Attributes
    ----------
    name
        What was compared.
    exchange, here
        How many there are on both sides.
    missing, extra, differing
        Only there; only here; on both sides with different values.
    examples
        A few of them, in words.
    """

    name: str
    exchange: int = 0
    here: int = 0
    missing: int = 0
    extra: int = 0
    differing: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether both sides say the same."""
        return not (self.missing or self.extra or self.differing)

    def example(self, text: str) -> None:
        """Keep an example, unless there are enough."""
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)


async def compare_trades(
    tasks: Iterable[Task], asker: Asker, store: HistoryStore, clock: Clock, show: Show
) -> list[Comparison]:
    """Compare the trades of each task with those in the table.

    Raises
    ------
    ExchangeError
        A call failed or is refused.
    """
    tasks = list(tasks)
    meter = Meter(clock.monotonic(), sum(task.weight * task.interval.length_ms for task in tasks))
    return [await _compare_task(task, asker, store, meter, show) for task in tasks]


async def _compare_task(
    task: Task, asker: Asker, store: HistoryStore, meter: Meter, show: Show
) -> Comparison:
    found = Comparison(f"trades {task.subject}")
    pager = task.open(task.interval)
    matched = 0
    while (call := pager.next_call()) is not None:
        before = pager.done_to_ms
        raws = pager.take(await asker.ask(call))
        rows, _ = store.read_trades(raws)
        known = store.known_trades(rows)
        found.exchange += len(rows)
        for row in rows:
            if trade_key(row) in known:
                matched += 1
            else:
                found.missing += 1
                when = time_text(row.message.timestamp)
                found.example(
                    f"missing {row.message.instrument_name} "
                    f"number {row.message.trade_seq} of {when}"
                )
        for row, (price, amount, _) in differing_trades(rows, known):
            found.differing += 1
            trade = row.message
            found.example(
                f"{trade.instrument_name} number {trade.trade_seq}: here {amount} at "
                f"{price}, on the exchange {trade.amount} at {trade.price}"
            )
        meter.rows += len(rows)
        meter.done += task.weight * (pager.done_to_ms - before)
        show(f"comparing trades {task.subject}", meter)
    currency, kind = task.subject.split()
    found.here = _count(store, currency, kind, task.interval)
    found.extra = max(0, found.here - matched)
    return found


def _count(store: HistoryStore, currency: str, kind: str, interval: Interval) -> int:
    kinds = [kind] if kind == "option" else ["future", "perpetual"]
    rows = store.rows(
        "SELECT uniqExact(instrument_name, trade_id) FROM trades "
        "WHERE kind IN {kinds:Array(String)} "
        "AND splitByChar('_', toString(currency))[-1] = {currency:String} "
        "AND exchange_ts >= fromUnixTimestamp64Milli({from:Int64}) "
        "AND exchange_ts < fromUnixTimestamp64Milli({to:Int64})",
        {"kinds": kinds, "currency": currency, "from": interval.from_ms, "to": interval.to_ms},
    )
    return int(rows[0][0])


def missing_numbers(store: HistoryStore, markets: list[str], interval: Interval) -> Comparison:
    """Count the trade numbers that the table skips, without asking the exchange."""
    rows = store.rows(
        "SELECT instrument_name, before + 1, trade_seq - 1 FROM ("
        "SELECT instrument_name, trade_seq, lagInFrame(trade_seq) OVER (PARTITION BY "
        "instrument_name ORDER BY trade_seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before "
        "FROM trades WHERE currency IN {markets:Array(String)} "
        "AND exchange_ts >= fromUnixTimestamp64Milli({from:Int64}) "
        "AND exchange_ts < fromUnixTimestamp64Milli({to:Int64})"
        ") WHERE before > 0 AND trade_seq > before + 1 ORDER BY instrument_name, trade_seq",
        {"markets": markets, "from": interval.from_ms, "to": interval.to_ms},
    )
    found = Comparison("numbers of trades that are skipped here")
    for name, first, last in rows:
        found.missing += last - first + 1
        found.example(f"{name} numbers {first} to {last}")
    return found


def compare_with_charts(store: HistoryStore, interval: Interval) -> list[Comparison]:
    """Compare live rows with the stored history of the same time: DVOL, delivery prices.

    Only what `vol-streamer history` has stored can be compared; times that one side lacks do not
    count.
    """
    window = {"from": interval.from_ms, "to": interval.to_ms}
    dvol = Comparison("live DVOL against its candles")
    ((dvol.exchange, dvol.here, dvol.differing),) = store.rows(
        "SELECT uniqExact(candle), count(), countIf(volatility < low OR volatility > high) FROM ("
        "SELECT index_name, volatility, toStartOfMinute(exchange_ts) AS minute "
        "FROM volatility_index FINAL WHERE exchange_ts >= fromUnixTimestamp64Milli({from:Int64}) "
        "AND exchange_ts < fromUnixTimestamp64Milli({to:Int64})) AS live "
        "INNER JOIN (SELECT index_name, toStartOfMinute(exchange_ts) AS minute, "
        "(index_name, exchange_ts) AS candle, low_volatility AS low, high_volatility AS high "
        "FROM volatility_index_candles FINAL WHERE resolution_seconds = 60 "
        "AND exchange_ts >= fromUnixTimestamp64Milli({from:Int64}) "
        "AND exchange_ts < fromUnixTimestamp64Milli({to:Int64})"
        ") AS candles USING (index_name, minute)",
        window,
    )
    deliveries = Comparison("delivery prices of expired options against the exchange's list")
    ((deliveries.exchange, deliveries.here, deliveries.differing),) = store.rows(
        "SELECT uniqExact(day), count(), countIf(live_price != listed_price) FROM ("
        "SELECT DISTINCT concat(lower(toString(currency)), if(position(toString(currency), '_') "
        "> 0, '', '_usd')) AS index_name, toDate(exchange_ts) AS day, "
        "delivery_price AS live_price FROM options_quotes "
        "WHERE is_expired AND delivery_price IS NOT NULL "
        "AND exchange_ts >= fromUnixTimestamp64Milli({from:Int64}) "
        "AND exchange_ts < fromUnixTimestamp64Milli({to:Int64})) AS live "
        "INNER JOIN (SELECT toString(index_name) AS index_name, toDate(exchange_ts) AS day, "
        "delivery_price AS listed_price FROM delivery_prices FINAL "
        "WHERE exchange_ts >= fromUnixTimestamp64Milli({from:Int64}) "
        "AND exchange_ts < fromUnixTimestamp64Milli({to:Int64})) AS listed "
        "USING (index_name, day)",
        window,
    )
    return [dvol, deliveries]

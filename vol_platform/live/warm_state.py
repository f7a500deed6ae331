"""The newest state as ClickHouse knows it: where the live view starts and what it falls back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clickhouse_connect.driver.client import Client

from vol_platform.store.client import with_retries

__all__ = ["WarmState", "load_state"]

Rows = Sequence[Sequence[Any]]

# Times as integers and prices as floats: the shape of the Redis batches (docs/redis.md).  Only the
# last minutes matter; they are counted from the newest row, so that an old hour can be replayed.
# Columns in WHERE are qualified: an alias of SELECT would hide the column of the same name.
_OPTIONS = """
WITH (SELECT max(exchange_ts) FROM options_quotes_latest) AS newest
SELECT q.currency AS currency, q.instrument_name AS instrument_name,
       toUnixTimestamp64Milli(q.exchange_ts) AS exchange_ts,
       toUnixTimestamp64Micro(q.received_ts) * 1000 AS received_ts,
       q.state AS state, q.underlying_index AS underlying_index, q.source AS source,
       toFloat64(q.bid_price) AS bid_price, toFloat64(q.bid_amount) AS bid_amount,
       toFloat64(q.ask_price) AS ask_price, toFloat64(q.ask_amount) AS ask_amount,
       toFloat64(q.mark_price) AS mark_price, toFloat64(q.bid_iv) AS bid_iv,
       toFloat64(q.ask_iv) AS ask_iv, toFloat64(q.mark_iv) AS mark_iv,
       q.underlying_price AS underlying_price, toFloat64(q.index_price) AS index_price,
       toFloat64(q.open_interest) AS open_interest
FROM options_quotes_latest AS q
WHERE q.exchange_ts > newest - toIntervalSecond({window:UInt32})
"""

_FUTURES = """
WITH (SELECT max(exchange_ts) FROM futures_prices) AS newest
SELECT f.currency AS currency, f.instrument_name AS instrument_name,
       toUnixTimestamp64Milli(max(f.exchange_ts)) AS exchange_ts,
       argMax((f.contract_type, toFloat64(f.bid_price), toFloat64(f.ask_price),
               toFloat64(f.mark_price), toFloat64(f.index_price)),
              (f.exchange_ts, f.received_ts)) AS quote,
       quote.1 AS contract_type, quote.2 AS bid_price, quote.3 AS ask_price,
       quote.4 AS mark_price, quote.5 AS index_price
FROM futures_prices AS f
WHERE f.exchange_ts > newest - toIntervalSecond({window:UInt32})
GROUP BY currency, instrument_name
"""

_INDEX = """
WITH (SELECT max(exchange_ts) FROM spot_prices) AS newest
SELECT index_name, toUnixTimestamp64Milli(max(s.exchange_ts)) AS exchange_ts,
       toFloat64(argMax(s.price, (s.exchange_ts, s.received_ts))) AS price
FROM spot_prices AS s
WHERE s.exchange_ts > newest - toIntervalSecond({window:UInt32})
GROUP BY index_name
"""

_SPECIFICATIONS = """
SELECT i.currency AS currency, i.instrument_name AS instrument_name, i.kind AS kind,
       i.option_type AS option_type, toFloat64(i.strike) AS strike,
       toUnixTimestamp64Milli(i.expiry_ts) AS expiry_ts, i.quote_currency AS quote_currency,
       i.instrument_type AS instrument_type, toFloat64(i.tick_size) AS tick_size,
       arrayMap(s -> [toFloat64(s.1), toFloat64(s.2)], i.tick_size_steps) AS tick_size_steps,
       toUnixTimestamp64Milli(i.creation_ts) AS creation_ts
FROM instruments AS i
WHERE i.kind IN ('option', 'future')
  AND i.expiry_ts > (SELECT max(exchange_ts) FROM options_quotes_latest) - toIntervalDay(1)
"""


@dataclass(frozen=True, slots=True)
class WarmState:
    """Rows of each table with their columns, like one batch each."""

    options: tuple[tuple[str, ...], Rows]
    futures: tuple[tuple[str, ...], Rows]
    index: tuple[tuple[str, ...], Rows]
    specifications: tuple[tuple[str, ...], Rows]


def load_state(client: Client, window_seconds: float) -> WarmState:
    """Read the newest quotes, futures, index prices and specifications.

    Parameters
    ----------
    client
        From `vol_platform.store.client.connect`.
    window_seconds
        How far back from the newest row to look; what is older cannot count any more.
    """
    parameters = {"window": max(int(window_seconds), 1)}

    def read(query: str) -> tuple[tuple[str, ...], Rows]:
        result = with_retries(lambda: client.query(query, parameters=parameters), attempts=2)
        return tuple(result.column_names), result.result_rows

    return WarmState(read(_OPTIONS), read(_FUTURES), read(_INDEX), read(_SPECIFICATIONS))

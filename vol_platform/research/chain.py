"""The option chain as it stood at any instant, straight from the raw ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from vol_platform.research.load import Source, opened
from vol_platform.store.client import query_frame

__all__ = ["load_chain"]

CHAIN = """
SELECT instrument_name, exchange_ts, received_ts, state,
       bid_price, bid_amount, ask_price, ask_amount,
       bid_iv, ask_iv, mark_iv, mark_price, underlying_index, underlying_price, index_price,
       delta, gamma, vega, theta, rho, open_interest, source
FROM options_quotes
WHERE currency = {currency:String}
  AND exchange_ts > {since:DateTime64(3, 'UTC')} AND exchange_ts <= {at:DateTime64(3, 'UTC')}
  AND toStartOfFiveMinutes(exchange_ts) >= toStartOfFiveMinutes({since:DateTime64(3, 'UTC')})
  AND toStartOfFiveMinutes(exchange_ts) <= toStartOfFiveMinutes({at:DateTime64(3, 'UTC')})
ORDER BY exchange_ts DESC, received_ts DESC, content_checksum DESC
LIMIT 1 BY instrument_name
"""


def load_chain(
    currency: str, at: datetime, source: Source = None, *, max_age_seconds: float = 60.0
) -> pl.DataFrame:
    """Return the newest update of every option as of an instant.

    Parameters
    ----------
    currency
        The market: ``BTC``, ``ETH``, ``BTC_USDC`` …
    at
        The instant, to the millisecond; a naive datetime is UTC.
    source
        Settings, an open client, or None for the settings of this process.
    max_age_seconds
        Updates older than this do not count; an option without a younger one is absent.

    Returns
    -------
    polars.DataFrame
        One row per option, newest update first, in the raw table's units (volatilities in percent).
        Empty when there were no ticks.
    """
    moment = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    parameters = {
        "currency": currency,
        "at": moment,
        "since": moment - timedelta(seconds=max_age_seconds),
    }
    with opened(source) as client:
        return query_frame(client, CHAIN, parameters)

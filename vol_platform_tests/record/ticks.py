"""Raw rows of a board of a known smile, as the streamer would have written them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import polars as pl

from vol_platform.quant.greeks import greeks
from vol_platform.settings import Settings
from vol_platform.store.client import connect, insert_frame
from vol_platform_tests.derivations.boards import INDEX_PRICE, MOMENT, chain

__all__ = ["HOUR", "MOMENT", "close_hour", "insert_board"]

HOUR = MOMENT
_PRICE, _VOL = pl.Decimal(18, 8), pl.Decimal(9, 4)
_RECEIVED_AFTER = timedelta(milliseconds=40)


def _displayed_greeks(board: pl.DataFrame) -> dict[str, pl.Series]:
    """Return the greeks that the exchange shows beside its mark, in its units."""
    years = (board["expiry_ts"] - board["snapshot_ts"]).dt.total_seconds() / 31_536_000
    columns = (board["underlying_price"], board["strike"], years, board["mark_iv"])
    shown = greeks(*(column.to_numpy() for column in columns), board["is_call"].to_numpy())
    scaled = {
        "delta": shown.delta,
        "gamma": shown.gamma,
        "vega": shown.vega / 100,
        "theta": shown.theta / 365,
    }
    return {name: pl.Series(value).cast(pl.Decimal(18, 5)) for name, value in scaled.items()}


def insert_board(
    settings: Settings, moments: Iterable[datetime], *, move: float = 0.001, **options: object
) -> int:
    """Insert ticks five seconds before every moment, with instruments, index and perpetual."""
    board = chain(list(moments), move=move, **options)  # type: ignore[arg-type]
    quotes = board.select(
        "instrument_name",
        "currency",
        "exchange_ts",
        "state",
        pl.col("bid_price", "ask_price", "mark_price", "index_price", "open_interest").cast(_PRICE),
        (pl.col("mark_iv") * 100).cast(_VOL),
        "underlying_index",
        "underlying_price",
        "source",
        received_ts=pl.col("exchange_ts").cast(pl.Datetime("us", "UTC")) + _RECEIVED_AFTER,
        collector=pl.lit("test"),
        content_checksum=pl.int_range(pl.len(), dtype=pl.UInt32),
        **_displayed_greeks(board),
    )
    instruments = board.unique("instrument_name").select(
        "instrument_name",
        "currency",
        "expiry_ts",
        pl.col("strike", "tick_size").cast(_PRICE),
        kind=pl.lit("option"),
        option_type=pl.when("is_call").then(pl.lit("call")).otherwise(pl.lit("put")),
        instrument_type=pl.lit("reversed"),
        quote_currency=pl.col("premium_currency"),
        creation_ts=pl.lit(MOMENT - timedelta(days=3), pl.Datetime("ms", "UTC")),
        seen_ts=pl.lit(MOMENT, pl.Datetime("us", "UTC")),
    )
    ticks = board.select("exchange_ts").unique().sort("exchange_ts")
    received = pl.col("exchange_ts").cast(pl.Datetime("us", "UTC")) + _RECEIVED_AFTER
    spot = ticks.with_columns(
        index_name=pl.lit("btc_usd"),
        price=pl.lit(INDEX_PRICE).cast(_PRICE),
        received_ts=received,
    )
    perpetual = ticks.with_columns(
        instrument_name=pl.lit("BTC-PERPETUAL"),
        currency=pl.lit("BTC"),
        contract_type=pl.lit("perpetual"),
        index_price=pl.lit(INDEX_PRICE).cast(_PRICE),
        mark_price=pl.lit(INDEX_PRICE).cast(_PRICE),
        received_ts=received,
    )
    with connect(settings) as client:
        insert_frame(client, "options_metadata", instruments)
        insert_frame(client, "spot_prices", spot)
        insert_frame(client, "futures_prices", perpetual)
        return insert_frame(client, "options_quotes", quotes)


def close_hour(
    settings: Settings, hour: datetime, *, rows: int, closed_ts: datetime, reason: str = "watermark"
) -> None:
    """Report an hour complete, as the streamer does."""
    with connect(settings) as client:
        insert_frame(
            client,
            "ingest_hours",
            pl.DataFrame(
                {
                    "hour_ts": [hour],
                    "reason": [reason],
                    "rows": [rows],
                    "collector": ["test"],
                    "closed_ts": [closed_ts.astimezone(UTC)],
                },
                schema_overrides={"rows": pl.UInt64},
            ),
        )

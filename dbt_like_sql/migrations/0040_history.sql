-- What the exchange keeps of the past: written by `vol-streamer history`, which also brings old trades
-- into `trades` and index prices into `spot_prices`.  Small tables, kept without end.

CREATE TABLE IF NOT EXISTS candles
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    resolution_seconds      UInt32 COMMENT 'length of the candle',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'start of the candle',
    open_price              Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'price of a trade, USD, first',
    high_price              Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'price of a trade, USD, highest',
    low_price               Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'price of a trade, USD, lowest',
    close_price             Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'price of a trade, USD, last',
    volume                  Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'base coin',
    cost                    Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT 'volume in the quote currency',
    rounded_fields          LowCardinality(String) COMMENT 'fields whose wire value had more digits than the column, comma-separated; empty when every value is exact',
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when we received it',
    source                  LowCardinality(String) COMMENT 'history',
    collector               LowCardinality(String) COMMENT 'name of the collector that wrote the row',
    connection_id           UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'always 0: asked for over REST',
    testnet                 Bool DEFAULT false COMMENT 'true for rows of test.deribit.com, whose prices mean nothing',
    content_checksum        UInt32 COMMENT 'crc32c of the values; a candle that the exchange corrected is a second row'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(exchange_ts)
ORDER BY (instrument_name, resolution_seconds, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS volatility_index_candles
(
    index_name              LowCardinality(String) COMMENT 'btc_usd, eth_usd',
    resolution_seconds      UInt32 COMMENT 'length of the candle',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'start of the candle',
    open_volatility         Decimal32(4) CODEC(T64, ZSTD(1)) COMMENT 'DVOL, percent, first',
    high_volatility         Decimal32(4) CODEC(T64, ZSTD(1)) COMMENT 'DVOL, percent, highest',
    low_volatility          Decimal32(4) CODEC(T64, ZSTD(1)) COMMENT 'DVOL, percent, lowest',
    close_volatility        Decimal32(4) CODEC(T64, ZSTD(1)) COMMENT 'DVOL, percent, last',
    rounded_fields          LowCardinality(String) COMMENT 'fields whose wire value had more digits than the column, comma-separated; empty when every value is exact',
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when we received it',
    source                  LowCardinality(String) COMMENT 'history',
    collector               LowCardinality(String) COMMENT 'name of the collector that wrote the row',
    connection_id           UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'always 0: asked for over REST',
    testnet                 Bool DEFAULT false COMMENT 'true for rows of test.deribit.com, whose prices mean nothing',
    content_checksum        UInt32 COMMENT 'crc32c of the values; a candle that the exchange corrected is a second row'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(exchange_ts)
ORDER BY (index_name, resolution_seconds, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS funding_rates
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'end of the hour',
    index_price             Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD, at the end of the hour',
    previous_index_price    Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD, at its beginning',
    interest_8h             Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'funding of the last 8 hours, a share',
    interest_1h             Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'funding of the hour, a share',
    rounded_fields          LowCardinality(String) COMMENT 'fields whose wire value had more digits than the column, comma-separated; empty when every value is exact',
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when we received it',
    source                  LowCardinality(String) COMMENT 'history',
    collector               LowCardinality(String) COMMENT 'name of the collector that wrote the row',
    connection_id           UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'always 0: asked for over REST',
    testnet                 Bool DEFAULT false COMMENT 'true for rows of test.deribit.com, whose prices mean nothing',
    content_checksum        UInt32 COMMENT 'crc32c of the values; a candle that the exchange corrected is a second row'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(exchange_ts)
ORDER BY (instrument_name, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS delivery_prices
(
    index_name              LowCardinality(String) COMMENT 'btc_usd, eth_usd, …',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT '08:00 UTC of the delivery',
    delivery_price          Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'USD, mean of the index over the last half hour',
    rounded_fields          LowCardinality(String) COMMENT 'fields whose wire value had more digits than the column, comma-separated; empty when every value is exact',
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when we received it',
    source                  LowCardinality(String) COMMENT 'history',
    collector               LowCardinality(String) COMMENT 'name of the collector that wrote the row',
    connection_id           UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'always 0: asked for over REST',
    testnet                 Bool DEFAULT false COMMENT 'true for rows of test.deribit.com, whose prices mean nothing',
    content_checksum        UInt32 COMMENT 'crc32c of the values; a candle that the exchange corrected is a second row'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(exchange_ts)
ORDER BY (index_name, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000;

-- How far each task of `vol-streamer history` is: a restart asks for what is not covered.
CREATE TABLE IF NOT EXISTS history_progress
(
    what                    LowCardinality(String) COMMENT 'trades, candles, dvol, funding, deliveries, index',
    subject                 String COMMENT 'of which currency and kind, instrument or index; with the resolution',
    host                    LowCardinality(String) COMMENT 'who was asked',
    from_ts                 DateTime64(3, 'UTC') COMMENT 'start of what was asked for',
    done_to_ts              DateTime64(3, 'UTC') COMMENT 'stored up to here, exclusive',
    rows                    UInt64 COMMENT 'rows received since from_ts',
    collector               LowCardinality(String),
    updated_ts              DateTime64(6, 'UTC') COMMENT 'newest wins'
)
ENGINE = ReplacingMergeTree(updated_ts)
ORDER BY (what, subject, host, from_ts)
SETTINGS non_replicated_deduplication_window = 10000;

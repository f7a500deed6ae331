-- Two optional channels: the marks of a whole market in one frame, and the interest of perpetuals.

CREATE TABLE IF NOT EXISTS mark_prices
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    mark_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'in the premium currency; four digits on the wire',
    mark_vol                Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'decimal (0.3706): this channel alone does not write percent',
    rounded_fields          LowCardinality(String) COMMENT 'fields whose wire value had more digits than the column, comma-separated; empty when every value is exact',
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when we received it',
    source                  LowCardinality(String) COMMENT 'stream, bridge, import or replay',
    collector               LowCardinality(String) COMMENT 'name of the collector that wrote the row',
    connection_id           UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'socket of that collector, counted from its start; 0 when there was none',
    testnet                 Bool DEFAULT false COMMENT 'true for rows of test.deribit.com, whose prices mean nothing',
    content_checksum        UInt32 COMMENT 'crc32c of the update as received; tells two updates of one millisecond apart, makes one update from two collectors equal'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(exchange_ts)
ORDER BY (toStartOfFiveMinutes(exchange_ts), instrument_name, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS perpetual_interest
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    index_price             Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD',
    interest                Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'as on the wire',
    rounded_fields          LowCardinality(String) COMMENT 'fields whose wire value had more digits than the column, comma-separated; empty when every value is exact',
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'when we received it',
    source                  LowCardinality(String) COMMENT 'stream, bridge, import or replay',
    collector               LowCardinality(String) COMMENT 'name of the collector that wrote the row',
    connection_id           UInt32 CODEC(Delta, ZSTD(1)) COMMENT 'socket of that collector, counted from its start; 0 when there was none',
    testnet                 Bool DEFAULT false COMMENT 'true for rows of test.deribit.com, whose prices mean nothing',
    content_checksum        UInt32 COMMENT 'crc32c of the update as received; tells two updates of one millisecond apart, makes one update from two collectors equal'
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(exchange_ts)
ORDER BY (toStartOfFiveMinutes(exchange_ts), instrument_name, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

-- Raw tables: what the wire said, written by the streamer (and by `vol import`), never changed afterwards.
-- Values keep the wire's units (implied volatilities here are percent); everything derived uses decimals.
-- The sort key starts with five minutes so that a chain at an instant and one instrument's day are both
-- fast; ReplacingMergeTree lets two collectors write side by side.

CREATE TABLE IF NOT EXISTS options_quotes
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    state                   LowCardinality(String) COMMENT 'open, closed, settlement, delivered, …',
    bid_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'best bid, in the premium currency; NULL when absent (0.0 on the wire)',
    bid_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT 'size at the best bid; NULL when absent',
    ask_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'best ask, in the premium currency; NULL when absent (0.0 on the wire)',
    ask_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT 'size at the best ask; NULL when absent',
    bid_iv                  Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)) COMMENT 'percent; NULL when unavailable (0.0 on the wire)',
    ask_iv                  Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)) COMMENT 'percent; NULL when unavailable (0.0 on the wire)',
    mark_iv                 Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)) COMMENT 'percent',
    mark_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'in the premium currency',
    underlying_index        LowCardinality(String) COMMENT 'future, SYN.…, SYN.EXPIRY or index_price; never derive the expiry from it',
    underlying_price        Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'forward used by the exchange, USD; float noise when synthetic',
    index_price             Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD',
    interest_rate           Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'always 0.0 in every recording',
    delta                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)) COMMENT 'as displayed by the exchange, its own units',
    gamma                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)) COMMENT 'as displayed by the exchange, its own units',
    vega                    Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)) COMMENT 'as displayed by the exchange, its own units',
    theta                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)) COMMENT 'as displayed by the exchange, its own units',
    rho                     Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)) COMMENT 'as displayed by the exchange, its own units',
    open_interest           Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'base coin',
    volume                  Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT '24 h volume, base coin',
    volume_usd              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT '24 h volume, USD',
    volume_notional         Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT '24 h notional',
    low_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT '24 h low',
    high_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT '24 h high',
    price_change            Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT '24 h change, percent',
    last_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'last trade; NULL when never traded',
    settlement_price        Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'last settlement',
    delivery_price          Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'when delivered',
    estimated_delivery_price Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'NULL when the wire says "expired" or nothing',
    is_expired              Bool COMMENT 'the wire''s estimated_delivery_price was the text "expired"',
    min_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'price band',
    max_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'price band',
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

CREATE TABLE IF NOT EXISTS futures_prices
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    contract_type           LowCardinality(String) COMMENT 'perpetual or future',
    state                   LowCardinality(String) COMMENT 'open, closed, …',
    bid_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'best bid, in the premium currency; NULL when absent (0.0 on the wire)',
    bid_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT 'size at the best bid; NULL when absent',
    ask_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'best ask, in the premium currency; NULL when absent (0.0 on the wire)',
    ask_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT 'size at the best ask; NULL when absent',
    mark_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD',
    index_price             Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD',
    funding_8h              Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'perpetual only',
    current_funding         Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'perpetual only',
    interest_value          Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'perpetual only',
    open_interest           Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD for inverse contracts, base coin for linear ones',
    volume                  Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT '24 h volume, base coin',
    volume_usd              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT '24 h volume, USD',
    volume_notional         Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT '24 h notional',
    low_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT '24 h low',
    high_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT '24 h high',
    price_change            Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)) COMMENT '24 h change, percent',
    last_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'last trade; NULL when never traded',
    settlement_price        Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'last settlement',
    delivery_price          Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'when delivered',
    estimated_delivery_price Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'NULL when the wire says "expired" or nothing',
    is_expired              Bool COMMENT 'the wire''s estimated_delivery_price was the text "expired"',
    min_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'price band',
    max_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'price band',
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

CREATE TABLE IF NOT EXISTS spot_prices
(
    index_name              LowCardinality(String) COMMENT 'btc_usd, eth_usd, …',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    price                   Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'USD',
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
ORDER BY (toStartOfFiveMinutes(exchange_ts), index_name, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS volatility_index
(
    index_name              LowCardinality(String) COMMENT 'btc_usd, eth_usd',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    volatility              Decimal32(4) CODEC(T64, ZSTD(1)) COMMENT 'DVOL, percent',
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
ORDER BY (toStartOfFiveMinutes(exchange_ts), index_name, exchange_ts, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS trades
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    kind                    LowCardinality(String) COMMENT 'option, future, perpetual, option_combo, future_combo, spot',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    trade_id                String COMMENT 'unique per currency; prefixed outside BTC',
    trade_seq               UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'increases by one per instrument',
    price                   Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'in the premium currency for options, USD for futures',
    amount                  Decimal64(8) CODEC(T64, ZSTD(1)) COMMENT 'base coin for options, USD for inverse futures',
    contracts               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'NULL in old data',
    direction               LowCardinality(String) COMMENT 'buy or sell, of the taker',
    tick_direction          UInt8 COMMENT '0 plus, 1 zero-plus, 2 minus, 3 zero-minus',
    iv                      Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)) COMMENT 'percent, options; 0 not computable, 500 off the scale',
    mark_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'NULL in old data',
    index_price             Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)) COMMENT 'USD',
    liquidation             LowCardinality(String) COMMENT 'M, T, MT or empty',
    block_trade_id          String COMMENT 'empty when not a block trade',
    block_trade_leg_count   UInt16 COMMENT '0 when not a block trade',
    block_rfq_id            Nullable(UInt64) COMMENT 'request for quote',
    combo_id                LowCardinality(String) COMMENT 'empty when not a leg of a combo',
    combo_trade_id          String COMMENT 'empty when not a leg of a combo',
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
ORDER BY (toStartOfFiveMinutes(exchange_ts), instrument_name, trade_seq, trade_id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS order_books
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'the exchange''s timestamp',
    kind                    LowCardinality(String) COMMENT 'snapshot, change, grouped or quote',
    change_id               UInt64 CODEC(Delta, ZSTD(1)) COMMENT '0 for quotes',
    prev_change_id          Nullable(UInt64) COMMENT 'NULL on a snapshot',
    bids                    Array(Tuple(action LowCardinality(String), price Decimal64(8), amount Decimal64(4))) COMMENT 'high to low; action new, change or delete',
    asks                    Array(Tuple(action LowCardinality(String), price Decimal64(8), amount Decimal64(4))) COMMENT 'low to high',
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
ORDER BY (toStartOfFiveMinutes(exchange_ts), instrument_name, exchange_ts, change_id, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS options_metadata
(
    instrument_name         LowCardinality(String) COMMENT 'as on the wire, case kept',
    currency                LowCardinality(String) COMMENT 'the market: the instrument name up to its first dash (BTC, ETH, BTC_USDC, …)',
    kind                    LowCardinality(String) COMMENT 'option, future, perpetual, spot, option_combo, future_combo',
    instrument_id           UInt64 COMMENT '0 when unknown',
    option_type             LowCardinality(String) COMMENT 'call, put or empty',
    strike                  Nullable(Decimal64(8)) COMMENT 'USD; options only',
    expiry_ts               Nullable(DateTime64(3, 'UTC')) COMMENT 'NULL for perpetuals and spot',
    base_currency           LowCardinality(String),
    quote_currency          LowCardinality(String) COMMENT 'currency of the premium',
    counter_currency        LowCardinality(String) COMMENT 'currency of the strike',
    settlement_currency     LowCardinality(String),
    settlement_period       LowCardinality(String),
    instrument_type         LowCardinality(String) COMMENT 'reversed (inverse) or linear',
    price_index             LowCardinality(String) COMMENT 'index that it settles on: btc_usd, …',
    contract_size           Decimal64(8),
    min_trade_amount        Decimal64(8),
    tick_size               Decimal64(8),
    tick_size_steps         Array(Tuple(above_price Decimal64(8), tick_size Decimal64(8))) COMMENT 'tick ladder above the first step',
    maker_commission        Float64,
    taker_commission        Float64,
    creation_ts             Nullable(DateTime64(3, 'UTC')),
    state                   LowCardinality(String),
    is_active               Bool,
    seen_ts                 DateTime64(6, 'UTC') COMMENT 'when this version was last seen',
    source                  LowCardinality(String) COMMENT 'stream or import',
    content_checksum        UInt32 COMMENT 'crc32c of the specification (not of state, is_active and seen_ts); a new one is a new version'
)
ENGINE = ReplacingMergeTree(seen_ts)
ORDER BY (currency, instrument_name, content_checksum)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS ingest_gaps
(
    gap_id                  String COMMENT 'collector, number',
    channel                 LowCardinality(String) COMMENT 'channel or * for all of the connection',
    instrument_name         LowCardinality(String) COMMENT 'empty when not of one instrument',
    from_ts                 DateTime64(6, 'UTC') COMMENT 'last data before the gap',
    to_ts                   Nullable(DateTime64(6, 'UTC')) COMMENT 'first data after it; NULL while it is open',
    cause                   LowCardinality(String) COMMENT 'change_id, trade_seq, silence, reconnect, restart, spool_full, clock, maintenance',
    detail                  String,
    repaired_ts             Nullable(DateTime64(6, 'UTC')) COMMENT 'NULL while not repaired',
    repair_method           LowCardinality(String) COMMENT 'empty, book_snapshot, trades_rest, book_summary',
    collector               LowCardinality(String),
    version                 UInt64 COMMENT 'newest wins'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(from_ts)
ORDER BY (from_ts, gap_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS dead_letters
(
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    channel                 LowCardinality(String) COMMENT 'empty when it could not be read',
    reason                  LowCardinality(String) COMMENT 'malformed, unknown_channel, wrong_type, …',
    detail                  String COMMENT 'what exactly, with the value',
    raw                     String CODEC(ZSTD(3)) COMMENT 'the frame, byte for byte',
    collector               LowCardinality(String),
    segment_id              String
)
ENGINE = MergeTree
PARTITION BY toYYYYMMDD(received_ts)
ORDER BY (received_ts, reason)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS ingest_segments
(
    segment_id              String COMMENT 'collector, number; also the insert token',
    collector               LowCardinality(String),
    first_received_ts       DateTime64(6, 'UTC'),
    last_received_ts        DateTime64(6, 'UTC'),
    first_exchange_ts       Nullable(DateTime64(3, 'UTC')),
    last_exchange_ts        Nullable(DateTime64(3, 'UTC')),
    frames                  UInt64 COMMENT 'messages in the segment',
    control_messages        UInt64 COMMENT 'replies and heartbeats: no row, no dead letter',
    data_messages           UInt64 COMMENT 'messages that became rows',
    dead_letters            UInt64 COMMENT 'messages that became dead letters',
    rows                    Map(LowCardinality(String), UInt64) COMMENT 'rows by table',
    bytes                   UInt64,
    checksum                UInt32 COMMENT 'crc32c of the segment file',
    inserted_ts             DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(inserted_ts)
PARTITION BY toYYYYMM(first_received_ts)
ORDER BY (first_received_ts, segment_id)
SETTINGS non_replicated_deduplication_window = 10000;

-- An hour of raw ticks that is complete, or was repaired since: Dagster finalises exactly these.
CREATE TABLE IF NOT EXISTS ingest_hours
(
    hour_ts                 DateTime('UTC') COMMENT 'start of the hour',
    reason                  LowCardinality(String) COMMENT 'watermark, import, replay, gap_repaired',
    rows                    UInt64 COMMENT 'option rows of the hour when it was closed',
    collector               LowCardinality(String),
    closed_ts               DateTime64(6, 'UTC')
)
ENGINE = MergeTree
ORDER BY (closed_ts, hour_ts)
SETTINGS non_replicated_deduplication_window = 10000;

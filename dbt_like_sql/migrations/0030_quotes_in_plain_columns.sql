-- The as-of state of option quotes in plain columns.  The aggregate states of migration 0002 (argMax of a tuple of
-- 22 fields) cost more than storing the rows themselves; a ReplacingMergeTree keeps the row with the largest
-- version, which is the same: the newest update whole, by exchange time, then receive time, then checksum, in any
-- order of arrival, the same update once or twice.  Each block of an INSERT is reduced to one row a key before it
-- is stored, later merges reduce further, and the views read with FINAL.  The new feeds are there before the old
-- state is copied, so a collector may go on meanwhile; an update that both bring changes nothing.

CREATE TABLE IF NOT EXISTS options_minute_state
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)),
    currency                LowCardinality(String),
    instrument_name         LowCardinality(String),
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    state                   LowCardinality(String),
    bid_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    bid_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)),
    ask_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    ask_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)),
    bid_iv                  Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)),
    ask_iv                  Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)),
    mark_iv                 Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)),
    mark_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    underlying_index        LowCardinality(String),
    underlying_price        Nullable(Float64) CODEC(ZSTD(1)),
    index_price             Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    delta                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    gamma                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    vega                    Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    theta                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    rho                     Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    open_interest           Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    volume                  Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    last_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    source                  LowCardinality(String),
    version                 UInt128 CODEC(ZSTD(1)) COMMENT 'exchange_ts, received_ts and content_checksum in one number: of two updates the one with the larger is newer'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, instrument_name)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, merge_selector_base = 10, auto_statistics_types = '';

CREATE TABLE IF NOT EXISTS options_latest_state
(
    currency                LowCardinality(String),
    instrument_name         LowCardinality(String),
    exchange_ts             DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    state                   LowCardinality(String),
    bid_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    bid_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)),
    ask_price               Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    ask_amount              Nullable(Decimal64(4)) CODEC(T64, ZSTD(1)),
    bid_iv                  Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)),
    ask_iv                  Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)),
    mark_iv                 Nullable(Decimal32(4)) CODEC(T64, ZSTD(1)),
    mark_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    underlying_index        LowCardinality(String),
    underlying_price        Nullable(Float64) CODEC(ZSTD(1)),
    index_price             Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    delta                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    gamma                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    vega                    Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    theta                   Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    rho                     Nullable(Decimal64(5)) CODEC(T64, ZSTD(1)),
    open_interest           Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    volume                  Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    last_price              Nullable(Decimal64(8)) CODEC(T64, ZSTD(1)),
    received_ts             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    source                  LowCardinality(String),
    version                 UInt128 CODEC(ZSTD(1)) COMMENT 'exchange_ts, received_ts and content_checksum in one number: of two updates the one with the larger is newer'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (currency, instrument_name)
SETTINGS non_replicated_deduplication_window = 10000, merge_selector_base = 10, auto_statistics_types = '';

CREATE MATERIALIZED VIEW IF NOT EXISTS options_minute_feed TO options_minute_state AS
SELECT toDateTime(intDiv(toUnixTimestamp64Milli(q.exchange_ts) + 59999, 60000) * 60, 'UTC') AS snapshot_ts,
       q.currency AS currency, q.instrument_name AS instrument_name, q.exchange_ts AS exchange_ts,
       q.state AS state, q.bid_price AS bid_price, q.bid_amount AS bid_amount, q.ask_price AS ask_price,
       q.ask_amount AS ask_amount, q.bid_iv AS bid_iv, q.ask_iv AS ask_iv, q.mark_iv AS mark_iv,
       q.mark_price AS mark_price, q.underlying_index AS underlying_index, q.underlying_price AS underlying_price,
       q.index_price AS index_price, q.delta AS delta, q.gamma AS gamma, q.vega AS vega, q.theta AS theta,
       q.rho AS rho, q.open_interest AS open_interest, q.volume AS volume, q.last_price AS last_price,
       q.received_ts AS received_ts, q.source AS source,
       bitOr(bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Milli(q.exchange_ts)), 84),
             bitShiftLeft(toUInt128(toUnixTimestamp64Micro(q.received_ts)), 32)), toUInt128(q.content_checksum)) AS version
FROM options_quotes AS q;

CREATE MATERIALIZED VIEW IF NOT EXISTS options_latest_feed TO options_latest_state AS
SELECT q.currency AS currency, q.instrument_name AS instrument_name, q.exchange_ts AS exchange_ts,
       q.state AS state, q.bid_price AS bid_price, q.bid_amount AS bid_amount, q.ask_price AS ask_price,
       q.ask_amount AS ask_amount, q.bid_iv AS bid_iv, q.ask_iv AS ask_iv, q.mark_iv AS mark_iv,
       q.mark_price AS mark_price, q.underlying_index AS underlying_index, q.underlying_price AS underlying_price,
       q.index_price AS index_price, q.delta AS delta, q.gamma AS gamma, q.vega AS vega, q.theta AS theta,
       q.rho AS rho, q.open_interest AS open_interest, q.volume AS volume, q.last_price AS last_price,
       q.received_ts AS received_ts, q.source AS source,
       bitOr(bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Milli(q.exchange_ts)), 84),
             bitShiftLeft(toUInt128(toUnixTimestamp64Micro(q.received_ts)), 32)), toUInt128(q.content_checksum)) AS version
FROM options_quotes AS q;

-- What the old state holds; its checksums are lost, so its version has none.  The tables are made anew, empty, where
-- a run of this file was killed after it had dropped them.
CREATE TABLE IF NOT EXISTS options_quotes_latest_state
(
    currency                LowCardinality(String),
    instrument_name         LowCardinality(String),
    exchange_ts             SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    quote                   AggregateFunction(argMax, Tuple(state LowCardinality(String), bid_price Nullable(Decimal64(8)), bid_amount Nullable(Decimal64(4)), ask_price Nullable(Decimal64(8)), ask_amount Nullable(Decimal64(4)), bid_iv Nullable(Decimal32(4)), ask_iv Nullable(Decimal32(4)), mark_iv Nullable(Decimal32(4)), mark_price Nullable(Decimal64(8)), underlying_index LowCardinality(String), underlying_price Nullable(Float64), index_price Nullable(Decimal64(8)), delta Nullable(Decimal64(5)), gamma Nullable(Decimal64(5)), vega Nullable(Decimal64(5)), theta Nullable(Decimal64(5)), rho Nullable(Decimal64(5)), open_interest Nullable(Decimal64(8)), volume Nullable(Decimal64(8)), last_price Nullable(Decimal64(8)), received_ts DateTime64(6, 'UTC'), source LowCardinality(String)), Tuple(DateTime64(3, 'UTC'), DateTime64(6, 'UTC'), UInt32))
)
ENGINE = AggregatingMergeTree
ORDER BY (currency, instrument_name)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS options_quotes_minute_state
(
    snapshot_ts             DateTime('UTC') CODEC(Delta, ZSTD(1)),
    currency                LowCardinality(String),
    instrument_name         LowCardinality(String),
    exchange_ts             SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    quote                   AggregateFunction(argMax, Tuple(state LowCardinality(String), bid_price Nullable(Decimal64(8)), bid_amount Nullable(Decimal64(4)), ask_price Nullable(Decimal64(8)), ask_amount Nullable(Decimal64(4)), bid_iv Nullable(Decimal32(4)), ask_iv Nullable(Decimal32(4)), mark_iv Nullable(Decimal32(4)), mark_price Nullable(Decimal64(8)), underlying_index LowCardinality(String), underlying_price Nullable(Float64), index_price Nullable(Decimal64(8)), delta Nullable(Decimal64(5)), gamma Nullable(Decimal64(5)), vega Nullable(Decimal64(5)), theta Nullable(Decimal64(5)), rho Nullable(Decimal64(5)), open_interest Nullable(Decimal64(8)), volume Nullable(Decimal64(8)), last_price Nullable(Decimal64(8)), received_ts DateTime64(6, 'UTC'), source LowCardinality(String)), Tuple(DateTime64(3, 'UTC'), DateTime64(6, 'UTC'), UInt32))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMMDD(snapshot_ts)
ORDER BY (snapshot_ts, currency, instrument_name)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1;

INSERT INTO options_latest_state
SELECT s.currency AS currency, s.instrument_name AS instrument_name, s.exchange_ts AS exchange_ts,
       tupleElement(newest, 'state') AS state, tupleElement(newest, 'bid_price') AS bid_price,
       tupleElement(newest, 'bid_amount') AS bid_amount, tupleElement(newest, 'ask_price') AS ask_price,
       tupleElement(newest, 'ask_amount') AS ask_amount, tupleElement(newest, 'bid_iv') AS bid_iv,
       tupleElement(newest, 'ask_iv') AS ask_iv, tupleElement(newest, 'mark_iv') AS mark_iv,
       tupleElement(newest, 'mark_price') AS mark_price,
       tupleElement(newest, 'underlying_index') AS underlying_index,
       tupleElement(newest, 'underlying_price') AS underlying_price,
       tupleElement(newest, 'index_price') AS index_price, tupleElement(newest, 'delta') AS delta,
       tupleElement(newest, 'gamma') AS gamma, tupleElement(newest, 'vega') AS vega,
       tupleElement(newest, 'theta') AS theta, tupleElement(newest, 'rho') AS rho,
       tupleElement(newest, 'open_interest') AS open_interest, tupleElement(newest, 'volume') AS volume,
       tupleElement(newest, 'last_price') AS last_price, tupleElement(newest, 'received_ts') AS received_ts,
       tupleElement(newest, 'source') AS source,
       bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Milli(s.exchange_ts)), 84),
       bitShiftLeft(toUInt128(toUnixTimestamp64Micro(received_ts)), 32)) AS version
FROM (SELECT currency, instrument_name, exchange_ts, finalizeAggregation(quote) AS newest
      FROM options_quotes_latest_state) AS s;

INSERT INTO options_minute_state
SELECT s.snapshot_ts AS snapshot_ts, s.currency AS currency, s.instrument_name AS instrument_name,
       s.exchange_ts AS exchange_ts,
       tupleElement(newest, 'state') AS state, tupleElement(newest, 'bid_price') AS bid_price,
       tupleElement(newest, 'bid_amount') AS bid_amount, tupleElement(newest, 'ask_price') AS ask_price,
       tupleElement(newest, 'ask_amount') AS ask_amount, tupleElement(newest, 'bid_iv') AS bid_iv,
       tupleElement(newest, 'ask_iv') AS ask_iv, tupleElement(newest, 'mark_iv') AS mark_iv,
       tupleElement(newest, 'mark_price') AS mark_price,
       tupleElement(newest, 'underlying_index') AS underlying_index,
       tupleElement(newest, 'underlying_price') AS underlying_price,
       tupleElement(newest, 'index_price') AS index_price, tupleElement(newest, 'delta') AS delta,
       tupleElement(newest, 'gamma') AS gamma, tupleElement(newest, 'vega') AS vega,
       tupleElement(newest, 'theta') AS theta, tupleElement(newest, 'rho') AS rho,
       tupleElement(newest, 'open_interest') AS open_interest, tupleElement(newest, 'volume') AS volume,
       tupleElement(newest, 'last_price') AS last_price, tupleElement(newest, 'received_ts') AS received_ts,
       tupleElement(newest, 'source') AS source,
       bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Milli(s.exchange_ts)), 84),
       bitShiftLeft(toUInt128(toUnixTimestamp64Micro(received_ts)), 32)) AS version
FROM (SELECT snapshot_ts, currency, instrument_name, exchange_ts, finalizeAggregation(quote) AS newest
      FROM options_quotes_minute_state) AS s
SETTINGS max_partitions_per_insert_block = 0;

-- The newest update of every instrument.
CREATE OR REPLACE VIEW options_quotes_latest AS
SELECT s.currency AS currency, s.instrument_name AS instrument_name, s.exchange_ts AS exchange_ts,
       s.state AS state, s.bid_price AS bid_price, s.bid_amount AS bid_amount, s.ask_price AS ask_price,
       s.ask_amount AS ask_amount, s.bid_iv AS bid_iv, s.ask_iv AS ask_iv, s.mark_iv AS mark_iv,
       s.mark_price AS mark_price, s.underlying_index AS underlying_index, s.underlying_price AS underlying_price,
       s.index_price AS index_price, s.delta AS delta, s.gamma AS gamma, s.vega AS vega, s.theta AS theta,
       s.rho AS rho, s.open_interest AS open_interest, s.volume AS volume, s.last_price AS last_price,
       s.received_ts AS received_ts, s.source AS source
FROM options_latest_state AS s FINAL;

-- The quote of an instrument at a minute boundary T: its newest update in (T - 60 s, T].
CREATE OR REPLACE VIEW options_quotes_minute AS
SELECT s.snapshot_ts AS snapshot_ts, s.currency AS currency, s.instrument_name AS instrument_name,
       s.exchange_ts AS exchange_ts,
       s.state AS state, s.bid_price AS bid_price, s.bid_amount AS bid_amount, s.ask_price AS ask_price,
       s.ask_amount AS ask_amount, s.bid_iv AS bid_iv, s.ask_iv AS ask_iv, s.mark_iv AS mark_iv,
       s.mark_price AS mark_price, s.underlying_index AS underlying_index, s.underlying_price AS underlying_price,
       s.index_price AS index_price, s.delta AS delta, s.gamma AS gamma, s.vega AS vega, s.theta AS theta,
       s.rho AS rho, s.open_interest AS open_interest, s.volume AS volume, s.last_price AS last_price,
       s.received_ts AS received_ts, s.source AS source
FROM options_minute_state AS s FINAL;

DROP VIEW IF EXISTS options_quotes_latest_feed;
DROP VIEW IF EXISTS options_quotes_minute_feed;
DROP TABLE IF EXISTS options_quotes_latest_state;
DROP TABLE IF EXISTS options_quotes_minute_state;

-- Statistics of 45 columns were made for every part and every merge, and nobody reads them; parts were merged four
-- times over before they were large, half of what a stored row cost.
ALTER TABLE options_quotes MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE quote_slots_state MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE futures_prices MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE spot_prices MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE mark_prices MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE trades MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';
ALTER TABLE order_books MODIFY SETTING merge_selector_base = 10, auto_statistics_types = '';

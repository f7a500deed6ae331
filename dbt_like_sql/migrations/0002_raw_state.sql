-- As-of state kept by materialised views.  One argMax over a tuple keeps all fields of one update together
-- (argMax of a single Nullable column would skip NULLs and mix updates).  The newest update wins by exchange
-- time, then receive time, then checksum, so the same ticks give the same state in any order of arrival.
-- Both are idempotent: the same update twice changes nothing.

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

CREATE MATERIALIZED VIEW IF NOT EXISTS options_quotes_latest_feed TO options_quotes_latest_state AS
SELECT q.currency AS currency, q.instrument_name AS instrument_name, max(q.exchange_ts) AS exchange_ts,
       argMaxState(tuple(q.state, q.bid_price, q.bid_amount, q.ask_price, q.ask_amount, q.bid_iv, q.ask_iv, q.mark_iv, q.mark_price, q.underlying_index, q.underlying_price, q.index_price, q.delta, q.gamma, q.vega, q.theta, q.rho, q.open_interest, q.volume, q.last_price, q.received_ts, q.source)::Tuple(state LowCardinality(String), bid_price Nullable(Decimal64(8)), bid_amount Nullable(Decimal64(4)), ask_price Nullable(Decimal64(8)), ask_amount Nullable(Decimal64(4)), bid_iv Nullable(Decimal32(4)), ask_iv Nullable(Decimal32(4)), mark_iv Nullable(Decimal32(4)), mark_price Nullable(Decimal64(8)), underlying_index LowCardinality(String), underlying_price Nullable(Float64), index_price Nullable(Decimal64(8)), delta Nullable(Decimal64(5)), gamma Nullable(Decimal64(5)), vega Nullable(Decimal64(5)), theta Nullable(Decimal64(5)), rho Nullable(Decimal64(5)), open_interest Nullable(Decimal64(8)), volume Nullable(Decimal64(8)), last_price Nullable(Decimal64(8)), received_ts DateTime64(6, 'UTC'), source LowCardinality(String)), tuple(q.exchange_ts, q.received_ts, q.content_checksum)) AS quote
FROM options_quotes AS q
GROUP BY currency, instrument_name;

CREATE VIEW IF NOT EXISTS options_quotes_latest AS
SELECT s.currency AS currency, s.instrument_name AS instrument_name, max(s.exchange_ts) AS exchange_ts,
       argMaxMerge(s.quote) AS merged,
       tupleElement(merged, 'state') AS state, tupleElement(merged, 'bid_price') AS bid_price, tupleElement(merged, 'bid_amount') AS bid_amount, tupleElement(merged, 'ask_price') AS ask_price, tupleElement(merged, 'ask_amount') AS ask_amount, tupleElement(merged, 'bid_iv') AS bid_iv, tupleElement(merged, 'ask_iv') AS ask_iv, tupleElement(merged, 'mark_iv') AS mark_iv, tupleElement(merged, 'mark_price') AS mark_price, tupleElement(merged, 'underlying_index') AS underlying_index, tupleElement(merged, 'underlying_price') AS underlying_price, tupleElement(merged, 'index_price') AS index_price, tupleElement(merged, 'delta') AS delta, tupleElement(merged, 'gamma') AS gamma, tupleElement(merged, 'vega') AS vega, tupleElement(merged, 'theta') AS theta, tupleElement(merged, 'rho') AS rho, tupleElement(merged, 'open_interest') AS open_interest, tupleElement(merged, 'volume') AS volume, tupleElement(merged, 'last_price') AS last_price, tupleElement(merged, 'received_ts') AS received_ts, tupleElement(merged, 'source') AS source
FROM options_quotes_latest_state AS s
GROUP BY currency, instrument_name;

-- The quote of an instrument at a minute boundary T: its newest update in (T - 60 s, T].
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

CREATE MATERIALIZED VIEW IF NOT EXISTS options_quotes_minute_feed TO options_quotes_minute_state AS
SELECT toDateTime(ceil(toUnixTimestamp64Milli(q.exchange_ts) / 60000) * 60, 'UTC') AS snapshot_ts,
       q.currency AS currency, q.instrument_name AS instrument_name, max(q.exchange_ts) AS exchange_ts,
       argMaxState(tuple(q.state, q.bid_price, q.bid_amount, q.ask_price, q.ask_amount, q.bid_iv, q.ask_iv, q.mark_iv, q.mark_price, q.underlying_index, q.underlying_price, q.index_price, q.delta, q.gamma, q.vega, q.theta, q.rho, q.open_interest, q.volume, q.last_price, q.received_ts, q.source)::Tuple(state LowCardinality(String), bid_price Nullable(Decimal64(8)), bid_amount Nullable(Decimal64(4)), ask_price Nullable(Decimal64(8)), ask_amount Nullable(Decimal64(4)), bid_iv Nullable(Decimal32(4)), ask_iv Nullable(Decimal32(4)), mark_iv Nullable(Decimal32(4)), mark_price Nullable(Decimal64(8)), underlying_index LowCardinality(String), underlying_price Nullable(Float64), index_price Nullable(Decimal64(8)), delta Nullable(Decimal64(5)), gamma Nullable(Decimal64(5)), vega Nullable(Decimal64(5)), theta Nullable(Decimal64(5)), rho Nullable(Decimal64(5)), open_interest Nullable(Decimal64(8)), volume Nullable(Decimal64(8)), last_price Nullable(Decimal64(8)), received_ts DateTime64(6, 'UTC'), source LowCardinality(String)), tuple(q.exchange_ts, q.received_ts, q.content_checksum)) AS quote
FROM options_quotes AS q
GROUP BY snapshot_ts, currency, instrument_name;

CREATE VIEW IF NOT EXISTS options_quotes_minute AS
SELECT s.snapshot_ts AS snapshot_ts, s.currency AS currency, s.instrument_name AS instrument_name,
       max(s.exchange_ts) AS exchange_ts, argMaxMerge(s.quote) AS merged,
       tupleElement(merged, 'state') AS state, tupleElement(merged, 'bid_price') AS bid_price, tupleElement(merged, 'bid_amount') AS bid_amount, tupleElement(merged, 'ask_price') AS ask_price, tupleElement(merged, 'ask_amount') AS ask_amount, tupleElement(merged, 'bid_iv') AS bid_iv, tupleElement(merged, 'ask_iv') AS ask_iv, tupleElement(merged, 'mark_iv') AS mark_iv, tupleElement(merged, 'mark_price') AS mark_price, tupleElement(merged, 'underlying_index') AS underlying_index, tupleElement(merged, 'underlying_price') AS underlying_price, tupleElement(merged, 'index_price') AS index_price, tupleElement(merged, 'delta') AS delta, tupleElement(merged, 'gamma') AS gamma, tupleElement(merged, 'vega') AS vega, tupleElement(merged, 'theta') AS theta, tupleElement(merged, 'rho') AS rho, tupleElement(merged, 'open_interest') AS open_interest, tupleElement(merged, 'volume') AS volume, tupleElement(merged, 'last_price') AS last_price, tupleElement(merged, 'received_ts') AS received_ts, tupleElement(merged, 'source') AS source
FROM options_quotes_minute_state AS s
GROUP BY snapshot_ts, currency, instrument_name;

-- The newest known specification of every instrument.
CREATE VIEW IF NOT EXISTS instruments AS
SELECT * FROM options_metadata ORDER BY seen_ts DESC, content_checksum DESC LIMIT 1 BY currency, instrument_name;

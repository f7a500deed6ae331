/* @model
name: stg_option_quotes
description: >
  The quote of every option at every minute of the partition: its newest update not older than the
  maximum quote age, in decimals and floats.
owner: team:vol
grain: one row per snapshot, market and option that has a young enough quote
key: [snapshot_ts, currency, instrument_name]
materialized: ephemeral
parameters:
  max_quote_age_seconds: Float64
columns:
  snapshot_ts: as-of instant
  currency: the market, BTC, ETH, BTC_USDC, …
  instrument_name: as on the wire
  state: open, closed, …; empty when the source does not say
  bid_price: premium currency; NULL when absent
  bid_amount: size at the best bid
  ask_price: premium currency; NULL when absent
  ask_amount: size at the best ask
  mark_price: premium currency
  bid_iv: decimal
  ask_iv: decimal
  mark_iv: decimal
  underlying_index: future, SYN.…, SYN.EXPIRY or index_price
  underlying_price: the exchange's forward, USD
  index_price: USD
  open_interest: base coin
  exchange_ts: when the exchange stamped the quote
  age_seconds: snapshot_ts - exchange_ts
  source: stream, bridge, import or replay
*/
WITH buckets AS
(
    -- A minute bucket holds the newest update of its minute; with a maximum age of several minutes
    -- a bucket also serves the snapshots after its own, and the newest of them counts.
    SELECT
        addMinutes(m.snapshot_ts, later) AS asof_ts,
        m.currency AS currency,
        m.instrument_name AS instrument_name,
        m.exchange_ts AS exchange_ts,
        m.state AS state,
        m.bid_price AS bid_price,
        m.bid_amount AS bid_amount,
        m.ask_price AS ask_price,
        m.ask_amount AS ask_amount,
        m.mark_price AS mark_price,
        m.bid_iv AS bid_iv,
        m.ask_iv AS ask_iv,
        m.mark_iv AS mark_iv,
        m.underlying_index AS underlying_index,
        m.underlying_price AS underlying_price,
        m.index_price AS index_price,
        m.open_interest AS open_interest,
        m.source AS source
    FROM {{ source('options_quotes_minute') }} AS m
    ARRAY JOIN range(toUInt32(ceil({max_quote_age_seconds:Float64} / 60))) AS later
    WHERE m.snapshot_ts > subtractSeconds({{ partition.start }}, {max_quote_age_seconds:Float64})
        AND m.snapshot_ts < {{ partition.end }}
    ORDER BY asof_ts, currency, instrument_name, exchange_ts DESC
    LIMIT 1 BY asof_ts, currency, instrument_name
)
SELECT
    toDateTime64(asof_ts, 3, 'UTC') AS snapshot_ts,
    toString(b.currency) AS currency,
    toString(b.instrument_name) AS instrument_name,
    toString(b.state) AS state,
    toFloat64(b.bid_price) AS bid_price,
    toFloat64(b.bid_amount) AS bid_amount,
    toFloat64(b.ask_price) AS ask_price,
    toFloat64(b.ask_amount) AS ask_amount,
    toFloat64(b.mark_price) AS mark_price,
    toFloat64(b.bid_iv) / 100 AS bid_iv,
    toFloat64(b.ask_iv) / 100 AS ask_iv,
    toFloat64(b.mark_iv) / 100 AS mark_iv,
    toString(b.underlying_index) AS underlying_index,
    b.underlying_price AS underlying_price,
    toFloat64(b.index_price) AS index_price,
    toFloat64(b.open_interest) AS open_interest,
    b.exchange_ts AS exchange_ts,
    (toUnixTimestamp64Milli(toDateTime64(asof_ts, 3, 'UTC')) - toUnixTimestamp64Milli(b.exchange_ts)) / 1000 AS age_seconds,
    toString(b.source) AS source
FROM buckets AS b
WHERE asof_ts >= {{ partition.start }}
    AND asof_ts < {{ partition.end }}
    AND age_seconds < {max_quote_age_seconds:Float64}

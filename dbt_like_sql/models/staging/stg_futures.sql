/* @model
name: stg_futures
description: >
  The quote of every future and perpetual at every minute of the partition.
owner: team:vol
grain: one row per snapshot, market and future that has a young enough quote
key: [snapshot_ts, currency, instrument_name]
materialized: ephemeral
parameters:
  max_quote_age_seconds: Float64
columns:
  snapshot_ts: as-of instant
  currency: the market
  instrument_name: as on the wire
  expiry_ts: delivery; NULL for a perpetual and for a future without a specification
  bid_price: USD; NULL when absent
  ask_price: USD; NULL when absent
  mark_price: USD
  index_price: USD
  exchange_ts: when the exchange stamped the quote
  age_seconds: snapshot_ts - exchange_ts
*/
WITH
newest AS
(
    SELECT
        addMinutes(toDateTime(ceil(toUnixTimestamp64Milli(f.exchange_ts) / 60000) * 60, 'UTC'), later) AS asof_ts,
        f.currency AS currency,
        f.instrument_name AS instrument_name,
        max(f.exchange_ts) AS newest_ts,
        argMax(
            tuple(f.contract_type, f.bid_price, f.ask_price, f.mark_price, f.index_price),
            tuple(f.exchange_ts, f.received_ts, f.content_checksum)
        ) AS quote
    FROM {{ source('futures_prices') }} AS f
    ARRAY JOIN range(toUInt32(ceil({max_quote_age_seconds:Float64} / 60))) AS later
    WHERE f.exchange_ts > subtractSeconds({{ partition.start }}, {max_quote_age_seconds:Float64})
        AND f.exchange_ts <= subtractSeconds({{ partition.end }}, 60)
    GROUP BY asof_ts, currency, instrument_name
),
specifications AS
(
    SELECT i.currency AS currency, i.instrument_name AS instrument_name, i.expiry_ts AS expiry_ts
    FROM {{ source('instruments') }} AS i
    WHERE i.kind = 'future'
)
SELECT
    toDateTime64(n.asof_ts, 3, 'UTC') AS snapshot_ts,
    toString(n.currency) AS currency,
    toString(n.instrument_name) AS instrument_name,
    s.expiry_ts AS expiry_ts,
    toFloat64(tupleElement(n.quote, 2)) AS bid_price,
    toFloat64(tupleElement(n.quote, 3)) AS ask_price,
    toFloat64(tupleElement(n.quote, 4)) AS mark_price,
    toFloat64(tupleElement(n.quote, 5)) AS index_price,
    n.newest_ts AS exchange_ts,
    (toUnixTimestamp64Milli(toDateTime64(n.asof_ts, 3, 'UTC')) - toUnixTimestamp64Milli(n.newest_ts)) / 1000 AS age_seconds
FROM newest AS n
LEFT JOIN specifications AS s ON n.currency = s.currency AND n.instrument_name = s.instrument_name
WHERE n.asof_ts >= {{ partition.start }}
    AND n.asof_ts < {{ partition.end }}
    AND age_seconds < {max_quote_age_seconds:Float64}
    AND (tupleElement(n.quote, 1) = 'perpetual' OR s.expiry_ts IS NOT NULL)

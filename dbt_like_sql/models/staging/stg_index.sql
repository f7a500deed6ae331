/* @model
name: stg_index
description: >
  The price index of every market at every minute of the partition.
owner: team:vol
grain: one row per snapshot and market that has a young enough index tick
key: [snapshot_ts, currency]
materialized: ephemeral
parameters:
  max_quote_age_seconds: Float64
columns:
  snapshot_ts: as-of instant
  currency: "the market that the index prices: btc_usd is BTC, btc_usdc is BTC_USDC"
  price: USD
*/
SELECT
    toDateTime64(asof_ts, 3, 'UTC') AS snapshot_ts,
    currency,
    toFloat64(newest_price) AS price
FROM
(
    SELECT
        addMinutes(toDateTime(ceil(toUnixTimestamp64Milli(s.exchange_ts) / 60000) * 60, 'UTC'), later) AS asof_ts,
        upper(if(endsWith(s.index_name, '_usd'), substring(s.index_name, 1, length(s.index_name) - 4), toString(s.index_name))) AS currency,
        max(s.exchange_ts) AS newest_ts,
        argMax(s.price, tuple(s.exchange_ts, s.received_ts, s.content_checksum)) AS newest_price
    FROM {{ source('spot_prices') }} AS s
    ARRAY JOIN range(toUInt32(ceil({max_quote_age_seconds:Float64} / 60))) AS later
    WHERE s.exchange_ts > subtractSeconds({{ partition.start }}, {max_quote_age_seconds:Float64})
        AND s.exchange_ts <= subtractSeconds({{ partition.end }}, 60)
    GROUP BY asof_ts, currency
)
WHERE asof_ts >= {{ partition.start }}
    AND asof_ts < {{ partition.end }}
    AND newest_ts > subtractSeconds(toDateTime64(asof_ts, 3, 'UTC'), {max_quote_age_seconds:Float64})

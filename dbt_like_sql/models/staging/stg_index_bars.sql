/* @model
name: stg_index_bars
description: Five-minute bars of every price index.
owner: team:vol
grain: one row per market and five minutes that have a tick
key: [snapshot_ts, currency]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: start of the bar}
  currency: {type: LowCardinality(String), description: "the market that the index prices: btc_usd is BTC, btc_usdc is BTC_USDC"}
  open_price: {type: Float64, description: "first tick, USD"}
  high_price: {type: Float64, description: "highest tick, USD"}
  low_price: {type: Float64, description: "lowest tick, USD"}
  close_price: {type: Float64, description: "last tick, USD", between: [0.000001, 100000000]}
  ticks: {type: UInt64, description: ticks in the bar}
tests:
  - name: bar_holds_together
    description: The low is the lowest price of a bar and the high the highest.
    fails: low_price > least(open_price, close_price) OR high_price < greatest(open_price, close_price)
    blocking: true
  - name: no_price_spike
    description: The index never moves more than 10 per cent inside five minutes.
    fails: high_price > 1.1 * low_price
    numbers: {largest_range: max(high_price / low_price - 1)}
*/
SELECT
    toStartOfFiveMinutes(s.exchange_ts) AS snapshot_ts,
    toLowCardinality(upper(if(endsWith(s.index_name, '_usd'), substring(s.index_name, 1, length(s.index_name) - 4), toString(s.index_name)))) AS currency,
    toFloat64(argMin(s.price, tuple(s.exchange_ts, s.received_ts, s.content_checksum))) AS open_price,
    toFloat64(max(s.price)) AS high_price,
    toFloat64(min(s.price)) AS low_price,
    toFloat64(argMax(s.price, tuple(s.exchange_ts, s.received_ts, s.content_checksum))) AS close_price,
    uniqExact(s.exchange_ts, s.content_checksum) AS ticks
FROM {{ source('spot_prices') }} AS s
WHERE s.exchange_ts >= {{ partition.start }} AND s.exchange_ts < {{ partition.end }}
GROUP BY snapshot_ts, currency

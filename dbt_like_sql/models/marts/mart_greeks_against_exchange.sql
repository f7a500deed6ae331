/* @model
name: mart_greeks_against_exchange
description: >
  Our greeks against the exchange's, minute by minute and expiry by expiry, of options with a delta
  between 0.05 and 0.95 and a day or more to live. What is left of the differences is the difference
  of the volatilities.
owner: team:vol
grain: one row per snapshot, market and expiry
key: [snapshot_ts, currency, expiry_ts]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: as-of instant}
  currency: {type: LowCardinality(String), description: the market}
  expiry_ts: {type: DateTime('UTC'), description: delivery}
  options: {type: UInt64, description: options compared}
  mean_vol_difference: {type: Float64, description: "our vol - mark_iv, mean of the expiry, decimal"}
  largest_delta_difference: {type: Float64, description: largest distance of a delta}
  mean_delta_difference: {type: Float64, description: mean distance of the deltas}
  mean_vega_ratio: {type: Float64, description: "our vega over the exchange's, mean"}
  mean_theta_ratio: {type: Float64, description: "our theta over the exchange's, mean"}
tests:
  - name: delta_near_exchange
    description: Deltas are on average within 0.02 of the exchange's.
    fails: mean_delta_difference > 0.02
    tolerated_share: 0.05
    numbers: {largest_delta_difference: max(largest_delta_difference), mean_delta_difference: avg(mean_delta_difference)}
  - name: vega_near_exchange
    description: Vegas are on average within 5 per cent of the exchange's.
    fails: abs(mean_vega_ratio - 1) > 0.05
    tolerated_share: 0.05
    numbers: {mean_vega_ratio: avg(mean_vega_ratio)}
  - name: vol_near_mark
    description: The surface is on average within 3 vol points of the exchange's marks.
    fails: abs(mean_vol_difference) > 0.03
    tolerated_share: 0.05
    numbers: {mean_vol_difference: avg(mean_vol_difference)}
*/
SELECT
    o.snapshot_ts AS snapshot_ts,
    o.currency AS currency,
    o.expiry_ts AS expiry_ts,
    count() AS options,
    avg(assumeNotNull(o.vol - e.mark_iv)) AS mean_vol_difference,
    max(assumeNotNull(abs(o.delta - e.exchange_delta))) AS largest_delta_difference,
    avg(assumeNotNull(abs(o.delta - e.exchange_delta))) AS mean_delta_difference,
    avg(assumeNotNull(o.vega / e.exchange_vega)) AS mean_vega_ratio,
    avg(assumeNotNull(o.theta / e.exchange_theta)) AS mean_theta_ratio
FROM {{ source('options_greeks') }} AS o
INNER JOIN {{ ref('stg_exchange_greeks') }} AS e
    ON o.snapshot_ts = e.snapshot_ts AND o.currency = e.currency AND o.instrument_name = e.instrument_name
WHERE o.snapshot_ts >= {{ partition.start }} AND o.snapshot_ts < {{ partition.end }}
    AND o.vol_source = 'surface' AND o.delta IS NOT NULL
    AND abs(o.delta) BETWEEN 0.05 AND 0.95
    AND o.expiry_years > 1 / 365 AND e.mark_iv > 0 AND e.exchange_vega > 0 AND e.exchange_theta < 0
GROUP BY o.snapshot_ts, o.currency, o.expiry_ts

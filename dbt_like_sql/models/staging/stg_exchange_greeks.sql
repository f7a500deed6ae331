/* @model
name: stg_exchange_greeks
description: The exchange's own greeks of every option, minute by minute, in our units.
owner: team:vol
grain: one row per snapshot, market and option whose ticker carried greeks
key: [snapshot_ts, currency, instrument_name]
materialized: ephemeral
columns:
  snapshot_ts: as-of instant
  currency: the market
  instrument_name: as on the wire
  mark_iv: decimal
  exchange_delta: forward delta, five decimals
  exchange_gamma: delta per USD, five decimals
  exchange_vega: USD per 1.00 of volatility
  exchange_theta: USD per year
*/
SELECT
    m.snapshot_ts AS snapshot_ts,
    m.currency AS currency,
    m.instrument_name AS instrument_name,
    toFloat64(m.mark_iv) / 100 AS mark_iv,
    toFloat64(m.delta) AS exchange_delta,
    toFloat64(m.gamma) AS exchange_gamma,
    toFloat64(m.vega) * 100 AS exchange_vega,
    toFloat64(m.theta) * 365 AS exchange_theta
FROM {{ source('options_quotes_minute') }} AS m
WHERE m.snapshot_ts >= {{ partition.start }} AND m.snapshot_ts < {{ partition.end }}
    AND m.delta IS NOT NULL

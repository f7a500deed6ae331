/* @model
name: stg_history_atm
description: At-the-money volatility at constant maturity on every hour of the record.
owner: team:vol
grain: one row per hour, market and constant maturity
key: [snapshot_ts, currency, days]
materialized: ephemeral
columns:
  snapshot_ts: on the hour
  currency: the market
  days: maturity
  atm_vol: decimal
*/
SELECT
    toDateTime64(t.snapshot_ts, 3, 'UTC') AS snapshot_ts,
    toString(t.currency) AS currency,
    round(t.days, 6) AS days,
    t.atm_vol AS atm_vol
FROM {{ source('term_structure') }} AS t
WHERE t.is_constant_maturity AND toMinute(t.snapshot_ts) = 0 AND t.atm_vol IS NOT NULL

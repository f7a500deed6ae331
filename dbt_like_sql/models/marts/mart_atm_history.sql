/* @model
name: mart_atm_history
description: At-the-money volatility at constant maturity, hour by hour.
owner: team:vol
grain: one row per hour, market and constant maturity
key: [snapshot_ts, currency, days]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: start of the hour}
  currency: {type: LowCardinality(String), description: the market}
  days: {type: Float64, description: "7, 14, 30, 60, 90, 180, 365", between: [1, 400]}
  open_vol: {type: Float64, description: "first snapshot of the hour, decimal"}
  high_vol: {type: Float64, description: "decimal"}
  low_vol: {type: Float64, description: "decimal"}
  close_vol: {type: Float64, description: "last snapshot of the hour, decimal", between: [0.01, 5]}
  mean_vol: {type: Float64, description: "decimal"}
  snapshots: {type: UInt64, description: snapshots of the hour with a value}
*/
SELECT
    toStartOfHour(t.snapshot_ts) AS snapshot_ts,
    t.currency AS currency,
    round(t.days, 6) AS days,
    argMin(assumeNotNull(t.atm_vol), t.snapshot_ts) AS open_vol,
    max(assumeNotNull(t.atm_vol)) AS high_vol,
    min(assumeNotNull(t.atm_vol)) AS low_vol,
    argMax(assumeNotNull(t.atm_vol), t.snapshot_ts) AS close_vol,
    avg(assumeNotNull(t.atm_vol)) AS mean_vol,
    count() AS snapshots
FROM {{ source('term_structure') }} AS t
WHERE t.snapshot_ts >= {{ partition.start }} AND t.snapshot_ts < {{ partition.end }}
    AND t.is_constant_maturity AND t.atm_vol IS NOT NULL
GROUP BY snapshot_ts, currency, days

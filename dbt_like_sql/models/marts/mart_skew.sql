/* @model
name: mart_skew
description: Skew and convexity at constant maturity, averaged over every hour.
owner: team:vol
grain: one row per hour, market and constant maturity
key: [snapshot_ts, currency, days]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: start of the hour}
  currency: {type: LowCardinality(String), description: the market}
  days: {type: Float64, description: "7, 14, 30, 60, 90, 180, 365"}
  atm_vol: {type: Nullable(Float64), description: "mean of the hour, decimal"}
  risk_reversal_25: {type: Nullable(Float64), description: "call - put, mean of the hour, decimal", between: [-1, 1]}
  butterfly_25: {type: Nullable(Float64), description: "mean of the hour, decimal"}
  risk_reversal_10: {type: Nullable(Float64), description: "mean of the hour, decimal"}
  butterfly_10: {type: Nullable(Float64), description: "mean of the hour, decimal"}
  skew_slope: {type: Nullable(Float64), description: "dvol/dk at k = 0, mean of the hour"}
  skew_curvature: {type: Nullable(Float64), description: "d2vol/dk2 at k = 0, mean of the hour"}
  inverted_share: {type: Float64, description: share of snapshots in which calls were dearer than puts, between: [0, 1]}
*/
SELECT
    toStartOfHour(s.snapshot_ts) AS snapshot_ts,
    s.currency AS currency,
    round(s.days, 6) AS days,
    avg(s.atm_vol) AS atm_vol,
    avg(s.risk_reversal_25) AS risk_reversal_25,
    avg(s.butterfly_25) AS butterfly_25,
    avg(s.risk_reversal_10) AS risk_reversal_10,
    avg(s.butterfly_10) AS butterfly_10,
    avg(s.skew_slope) AS skew_slope,
    avg(s.skew_curvature) AS skew_curvature,
    countIf(s.risk_reversal_25 > 0) / count() AS inverted_share
FROM {{ source('skew_metrics') }} AS s
WHERE s.snapshot_ts >= {{ partition.start }} AND s.snapshot_ts < {{ partition.end }}
    AND s.is_constant_maturity
GROUP BY snapshot_ts, currency, days

/* @model
name: mart_greeks_by_expiry
description: Open interest and its greeks by expiry, as of the last snapshot of every hour.
owner: team:vol
grain: one row per hour, market and expiry
key: [snapshot_ts, currency, expiry_ts]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: the snapshot}
  currency: {type: LowCardinality(String), description: the market}
  expiry_ts: {type: DateTime('UTC'), description: delivery}
  open_interest: {type: Float64, description: base coin, between: [0, 1000000000000]}
  put_call_ratio: {type: Nullable(Float64), description: put over call open interest; NULL without calls}
  share_of_open_interest: {type: Nullable(Float64), description: of the market}
  gamma_usd_per_percent: {type: Nullable(Float64), description: USD of delta for 1 per cent of the forward}
  vega: {type: Float64, description: USD per 1.00 of volatility}
  theta_per_day: {type: Float64, description: USD per day}
*/
SELECT
    g.snapshot_ts AS snapshot_ts,
    g.currency AS currency,
    g.expiry_ts AS expiry_ts,
    g.call_open_interest + g.put_open_interest AS open_interest,
    if(g.call_open_interest > 0, g.put_open_interest / g.call_open_interest, NULL) AS put_call_ratio,
    if(newest.all_open_interest > 0, (g.call_open_interest + g.put_open_interest) / newest.all_open_interest, NULL) AS share_of_open_interest,
    g.gamma_usd_per_percent AS gamma_usd_per_percent,
    g.vega AS vega,
    g.theta / 365 AS theta_per_day
FROM {{ source('greeks_by_expiry') }} AS g
INNER JOIN
(
    SELECT
        l.currency AS currency,
        max(l.snapshot_ts) AS snapshot_ts,
        argMax(l.total, l.snapshot_ts) AS all_open_interest
    FROM
    (
        SELECT b.currency AS currency, b.snapshot_ts AS snapshot_ts, sum(b.call_open_interest + b.put_open_interest) AS total
        FROM {{ source('greeks_by_expiry') }} AS b
        WHERE b.snapshot_ts >= {{ partition.start }} AND b.snapshot_ts < {{ partition.end }}
        GROUP BY b.currency, b.snapshot_ts
    ) AS l
    GROUP BY l.currency
) AS newest ON g.currency = newest.currency AND g.snapshot_ts = newest.snapshot_ts
WHERE g.snapshot_ts >= {{ partition.start }} AND g.snapshot_ts < {{ partition.end }}

/* @model
name: mart_term_structure
description: The term structure as of the last snapshot of every hour, with basis and rate.
owner: team:vol
grain: one row per hour, market and listed expiry with a fit
key: [snapshot_ts, currency, expiry_ts]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: the snapshot}
  currency: {type: LowCardinality(String), description: the market}
  expiry_ts: {type: DateTime('UTC'), description: delivery}
  days: {type: Float64, description: days to delivery, between: [0, 2000]}
  forward: {type: Nullable(Float64), description: USD}
  basis_annualised: {type: Nullable(Float64), description: "forward against index, decimal a year"}
  zero_rate: {type: Nullable(Float64), description: "USD rate, decimal a year; NULL without an hour of rates"}
  atm_vol: {type: Nullable(Float64), description: decimal, not_null: true}
  forward_vol: {type: Nullable(Float64), description: "between this expiry and the one before, decimal"}
*/
SELECT
    t.snapshot_ts AS snapshot_ts,
    t.currency AS currency,
    assumeNotNull(t.expiry_ts) AS expiry_ts,
    t.days AS days,
    t.forward AS forward,
    f.basis_annualised AS basis_annualised,
    toNullable(r.zero_rate) AS zero_rate,
    t.atm_vol AS atm_vol,
    t.forward_vol AS forward_vol
FROM {{ source('term_structure') }} AS t
INNER JOIN
(
    SELECT l.currency AS currency, max(l.snapshot_ts) AS snapshot_ts
    FROM {{ source('term_structure') }} AS l
    WHERE l.snapshot_ts >= {{ partition.start }} AND l.snapshot_ts < {{ partition.end }}
    GROUP BY l.currency
) AS newest ON t.currency = newest.currency AND t.snapshot_ts = newest.snapshot_ts
LEFT JOIN (
    SELECT c.snapshot_ts AS snapshot_ts, c.currency AS currency, c.expiry_ts AS expiry_ts, c.basis_annualised AS basis_annualised
    FROM {{ source('forward_curve') }} AS c
    WHERE c.snapshot_ts >= {{ partition.start }} AND c.snapshot_ts < {{ partition.end }}
) AS f ON t.snapshot_ts = f.snapshot_ts AND t.currency = f.currency AND t.expiry_ts = f.expiry_ts
LEFT JOIN (
    SELECT d.snapshot_ts AS snapshot_ts, d.currency AS currency, d.expiry_ts AS expiry_ts, d.zero_rate AS zero_rate
    FROM {{ source('interest_rates') }} AS d
    WHERE d.snapshot_ts >= {{ partition.start }} AND d.snapshot_ts < {{ partition.end }}
) AS r ON t.snapshot_ts = r.snapshot_ts AND t.currency = r.currency AND t.expiry_ts = r.expiry_ts
WHERE t.snapshot_ts >= {{ partition.start }} AND t.snapshot_ts < {{ partition.end }}
    AND NOT t.is_constant_maturity

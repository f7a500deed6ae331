/* @model
name: mart_dvol_tracking
description: Our volatility index against the exchange's DVOL, minute by minute.
owner: team:vol
grain: one row per snapshot and market that has both
key: [snapshot_ts, currency]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: as-of instant}
  currency: {type: LowCardinality(String), description: the market}
  our_vol: {type: Float64, description: "30 days, model-free, decimal"}
  dvol: {type: Float64, description: "newest DVOL not older than two minutes, decimal"}
  difference: {type: Float64, description: "our_vol - dvol, decimal"}
tests:
  - name: index_near_dvol
    description: Our index is within 3 vol points of DVOL.
    fails: abs(difference) > 0.03
    tolerated_share: 0.05
    numbers: {mean_difference: avg(difference), largest_difference: max(abs(difference)), root_mean_square: sqrt(avg(difference * difference))}
*/
SELECT
    v.snapshot_ts AS snapshot_ts,
    v.currency AS currency,
    v.vol AS our_vol,
    toFloat64(argMax(x.volatility, tuple(x.exchange_ts, x.received_ts, x.content_checksum))) / 100 AS dvol,
    our_vol - dvol AS difference
FROM {{ source('variance_index') }} AS v
INNER JOIN
(
    SELECT
        toStartOfMinute(subtractMilliseconds(y.exchange_ts, 1)) AS minute_ts,
        upper(replaceOne(toString(y.index_name), '_usd', '')) AS currency,
        y.volatility AS volatility,
        y.exchange_ts AS exchange_ts,
        y.received_ts AS received_ts,
        y.content_checksum AS content_checksum
    FROM {{ source('volatility_index') }} AS y
    WHERE y.exchange_ts > subtractSeconds({{ partition.start }}, 120) AND y.exchange_ts <= {{ partition.end }}
) AS x ON v.currency = x.currency
WHERE v.snapshot_ts >= {{ partition.start }} AND v.snapshot_ts < {{ partition.end }}
    AND v.days = 30
    AND x.minute_ts IN (subtractMinutes(v.snapshot_ts, 1), subtractMinutes(v.snapshot_ts, 2))
    AND x.exchange_ts <= v.snapshot_ts
GROUP BY v.snapshot_ts, v.currency, v.vol

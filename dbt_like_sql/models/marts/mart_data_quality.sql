/* @model
name: mart_data_quality
description: What came in and what became of it, hour by hour.
owner: team:vol
grain: one row per hour and market with a snapshot
key: [snapshot_ts, currency]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: start of the hour}
  currency: {type: LowCardinality(String), description: the market}
  snapshots: {type: UInt64, description: "minutes with a surface, of 60"}
  expiries: {type: UInt64, description: rows of expiries}
  refused: {type: UInt64, description: of these without a fit}
  repaired: {type: UInt64, description: of these blended towards the arbitrage-free surface}
  mean_completeness: {type: Nullable(Float64), description: share of listed options with a fresh quote, between: [0, 1]}
  median_rmse: {type: Nullable(Float64), description: "of the fits, decimal"}
  in_spread_share: {type: Nullable(Float64), description: share of quotes that contain the fit}
  clean_quotes: {type: UInt64, description: rows}
  rejected_quotes: {type: UInt64, description: rows}
  stale_quotes: {type: UInt64, description: of the rejected for age}
  gap_seconds: {type: Float64, description: "of the hour, seconds covered by an unrepaired gap of a whole connection"}
  dead_letters: {type: UInt64, description: "messages that could not be stored, of every market"}
tests:
  - name: most_options_fresh
    description: On average at least half of the listed options had a quote young enough.
    fails: mean_completeness < 0.5
    tolerated_share: 0.0
  - name: no_unrepaired_gap
    description: No minute of the hour lies in a gap that nobody repaired.
    fails: gap_seconds > 60
*/
SELECT
    s.hour_ts AS snapshot_ts,
    s.currency AS currency,
    s.snapshots AS snapshots,
    s.expiries AS expiries,
    s.refused AS refused,
    s.repaired AS repaired,
    s.mean_completeness AS mean_completeness,
    s.median_rmse AS median_rmse,
    s.in_spread_share AS in_spread_share,
    c.clean_quotes AS clean_quotes,
    r.rejected_quotes AS rejected_quotes,
    r.stale_quotes AS stale_quotes,
    g.gap_seconds AS gap_seconds,
    d.dead_letters AS dead_letters
FROM
(
    SELECT
        toStartOfHour(f.snapshot_ts) AS hour_ts,
        f.currency AS currency,
        uniqExact(f.snapshot_ts) AS snapshots,
        count() AS expiries,
        countIf(f.status = 'refused') AS refused,
        countIf(f.repaired_lambda > 0) AS repaired,
        avg(f.completeness) AS mean_completeness,
        quantileExact(0.5)(f.rmse) AS median_rmse,
        sum(f.in_spread_share * f.quotes) / nullIf(sumIf(f.quotes, f.in_spread_share IS NOT NULL), 0) AS in_spread_share
    FROM {{ source('surfaces') }} AS f
    WHERE f.snapshot_ts >= {{ partition.start }} AND f.snapshot_ts < {{ partition.end }}
    GROUP BY hour_ts, currency
) AS s
LEFT JOIN
(
    SELECT q.currency AS currency, count() AS clean_quotes
    FROM {{ source('quotes_clean') }} AS q
    WHERE q.snapshot_ts >= {{ partition.start }} AND q.snapshot_ts < {{ partition.end }}
    GROUP BY q.currency
) AS c ON s.currency = c.currency
LEFT JOIN
(
    SELECT q.currency AS currency, count() AS rejected_quotes, countIf(q.reason = 'stale') AS stale_quotes
    FROM {{ source('quotes_rejected') }} AS q
    WHERE q.snapshot_ts >= {{ partition.start }} AND q.snapshot_ts < {{ partition.end }}
    GROUP BY q.currency
) AS r ON s.currency = r.currency
CROSS JOIN
(
    SELECT ifNull(sum(greatest(0, dateDiff('second', greatest(p.from_ts, toDateTime64({{ partition.start }}, 6, 'UTC')), least(ifNull(p.to_ts, toDateTime64({{ partition.end }}, 6, 'UTC')), toDateTime64({{ partition.end }}, 6, 'UTC'))))), 0) * 1.0 AS gap_seconds
    FROM {{ source('ingest_gaps') }} AS p FINAL
    WHERE p.channel = '*' AND p.repaired_ts IS NULL
        AND p.from_ts < {{ partition.end }} AND ifNull(p.to_ts, toDateTime64({{ partition.end }}, 6, 'UTC')) > {{ partition.start }}
) AS g
CROSS JOIN
(
    SELECT count() AS dead_letters
    FROM {{ source('dead_letters') }} AS w
    WHERE w.received_ts >= {{ partition.start }} AND w.received_ts < {{ partition.end }}
) AS d

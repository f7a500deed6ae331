/* @model
name: live_parity
description: >
  What the live view said at every minute against what the record says of it: the newest live
  surface within ten seconds before the snapshot.
owner: team:vol
grain: one row per snapshot, market and expiry that both have fitted
key: [snapshot_ts, currency, expiry_ts]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: as-of instant of the record}
  currency: {type: LowCardinality(String), description: the market}
  expiry_ts: {type: DateTime('UTC'), description: delivery}
  live_age_seconds: {type: Float64, description: "snapshot_ts - that of the live surface", between: [0, 10]}
  record_atm_vol: {type: Float64, description: decimal}
  live_atm_vol: {type: Float64, description: decimal}
  vol_difference: {type: Float64, description: "live - record, decimal"}
  forward_difference: {type: Float64, description: "live / record - 1"}
tests:
  - name: live_matches_record
    description: The live at-the-money volatility is within 1 vol point of the record's.
    fails: abs(vol_difference) > 0.01
    tolerated_share: 0.05
    numbers: {largest_vol_difference: max(abs(vol_difference)), mean_vol_difference: avg(abs(vol_difference)), largest_forward_difference: max(abs(forward_difference))}
*/
SELECT
    s.snapshot_ts AS snapshot_ts,
    s.currency AS currency,
    s.expiry_ts AS expiry_ts,
    (toUnixTimestamp(s.snapshot_ts) * 1000 - toUnixTimestamp64Milli(max(l.snapshot_ts))) / 1000 AS live_age_seconds,
    assumeNotNull(s.atm_vol) AS record_atm_vol,
    assumeNotNull(argMax(l.atm_vol, tuple(l.snapshot_ts, l.computed_ts))) AS live_atm_vol,
    live_atm_vol - record_atm_vol AS vol_difference,
    assumeNotNull(argMax(l.forward, tuple(l.snapshot_ts, l.computed_ts)) / s.forward) - 1 AS forward_difference
FROM {{ source('surfaces') }} AS s
INNER JOIN {{ source('live_surfaces') }} AS l ON s.currency = l.currency AND s.expiry_ts = l.expiry_ts
WHERE s.snapshot_ts >= {{ partition.start }} AND s.snapshot_ts < {{ partition.end }}
    AND l.snapshot_ts > subtractSeconds({{ partition.start }}, 10) AND l.snapshot_ts <= {{ partition.end }}
    AND l.snapshot_ts <= s.snapshot_ts AND l.snapshot_ts > subtractSeconds(s.snapshot_ts, 10)
    AND s.atm_vol IS NOT NULL AND l.atm_vol IS NOT NULL AND l.forward IS NOT NULL AND s.forward IS NOT NULL
GROUP BY s.snapshot_ts, s.currency, s.expiry_ts, s.atm_vol, s.forward

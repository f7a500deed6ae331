/* @model
name: mart_largest_movers
description: The twenty options of every market whose volatility moved most within the hour, by vega.
owner: team:vol
grain: one row per hour, market and option
key: [snapshot_ts, currency, instrument_name]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: start of the hour}
  currency: {type: LowCardinality(String), description: the market}
  instrument_name: {type: LowCardinality(String), description: as on the wire}
  first_vol: {type: Float64, description: "of the surface, first snapshot of the hour, decimal"}
  last_vol: {type: Float64, description: "last snapshot of the hour, decimal"}
  vol_change: {type: Float64, description: "last - first, decimal", between: [-3, 3]}
  price_change_usd: {type: Float64, description: "last - first, USD"}
  vega_weighted_change_usd: {type: Float64, description: "vol_change x vega, USD: what the order is by"}
*/
SELECT
    toStartOfHour(o.snapshot_ts) AS snapshot_ts,
    o.currency AS currency,
    o.instrument_name AS instrument_name,
    argMin(assumeNotNull(o.vol), o.snapshot_ts) AS first_vol,
    argMax(assumeNotNull(o.vol), o.snapshot_ts) AS last_vol,
    last_vol - first_vol AS vol_change,
    argMax(assumeNotNull(o.price_usd), o.snapshot_ts) - argMin(assumeNotNull(o.price_usd), o.snapshot_ts) AS price_change_usd,
    vol_change * argMax(assumeNotNull(o.vega), o.snapshot_ts) AS vega_weighted_change_usd
FROM {{ source('options_greeks') }} AS o
WHERE o.snapshot_ts >= {{ partition.start }} AND o.snapshot_ts < {{ partition.end }}
    AND o.vol_source = 'surface' AND o.vol IS NOT NULL AND o.vega IS NOT NULL AND o.price_usd IS NOT NULL
GROUP BY snapshot_ts, currency, instrument_name
HAVING count() > 1
ORDER BY abs(vega_weighted_change_usd) DESC, instrument_name
LIMIT 20 BY snapshot_ts, currency

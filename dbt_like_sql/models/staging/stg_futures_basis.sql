/* @model
name: stg_futures_basis
description: Every future and perpetual against its index, minute by minute.
owner: team:vol
grain: one row per snapshot, market and future with a young quote and an index price
key: [snapshot_ts, currency, instrument_name]
materialized: incremental
columns:
  snapshot_ts: {type: DateTime('UTC'), description: as-of instant}
  currency: {type: LowCardinality(String), description: the market}
  instrument_name: {type: LowCardinality(String), description: as on the wire}
  expiry_years: {type: Nullable(Float64), description: years to delivery; NULL for a perpetual}
  price: {type: Float64, description: "mid of bid and ask, else the mark, USD"}
  index_price: {type: Float64, description: USD}
  basis: {type: Float64, description: "price / index_price - 1, decimal", between: [-0.5, 2]}
  basis_annualised: {type: Nullable(Float64), description: "ln(price / index_price) / expiry_years, decimal; NULL for a perpetual"}
*/
SELECT
    toDateTime(f.snapshot_ts, 'UTC') AS snapshot_ts,
    toLowCardinality(f.currency) AS currency,
    toLowCardinality(f.instrument_name) AS instrument_name,
    (toUnixTimestamp64Milli(f.expiry_ts) - toUnixTimestamp64Milli(f.snapshot_ts)) / 31536000000 AS expiry_years,
    assumeNotNull(coalesce((f.bid_price + f.ask_price) / 2, f.mark_price)) AS price,
    assumeNotNull(f.index_price) AS index_price,
    price / index_price - 1 AS basis,
    if(expiry_years > 0, log(price / index_price) / expiry_years, NULL) AS basis_annualised
FROM {{ ref('stg_futures') }} AS f
WHERE f.index_price > 0 AND coalesce((f.bid_price + f.ask_price) / 2, f.mark_price) > 0

/* @model
name: stg_history_bars
description: Every five-minute bar of every index, for what looks back over months.
owner: team:vol
grain: one row per market and bar
key: [bar_ts, currency]
materialized: ephemeral
columns:
  bar_ts: start of the bar
  currency: the market
  open: USD
  high: USD
  low: USD
  close: USD
*/
SELECT
    toDateTime64(b.snapshot_ts, 3, 'UTC') AS bar_ts,
    toString(b.currency) AS currency,
    b.open_price AS open,
    b.high_price AS high,
    b.low_price AS low,
    b.close_price AS close
FROM {{ ref('stg_index_bars') }} AS b

/* @model
name: stg_chain_minute
description: >
  The whole chain as of every minute, quotes with their instruments, for ad-hoc SQL. Filter by
  snapshot_ts: the view reads only those minutes.
owner: team:vol
grain: one row per minute and option with an update in it
key: [snapshot_ts, currency, instrument_name]
materialized: view
columns:
  snapshot_ts: as-of instant
  currency: the market
  instrument_name: as on the wire
  expiry_ts: delivery
  strike: USD
  is_call: call or put
  bid_price: premium currency; NULL when absent
  ask_price: premium currency; NULL when absent
  mark_price: premium currency
  bid_iv: decimal
  ask_iv: decimal
  mark_iv: decimal
  underlying_price: the exchange's forward, USD
  index_price: USD
  open_interest: base coin
  exchange_ts: when the exchange stamped the quote
*/
SELECT
    m.snapshot_ts AS snapshot_ts,
    m.currency AS currency,
    m.instrument_name AS instrument_name,
    i.expiry_ts AS expiry_ts,
    toFloat64(i.strike) AS strike,
    i.option_type = 'call' AS is_call,
    toFloat64(m.bid_price) AS bid_price,
    toFloat64(m.ask_price) AS ask_price,
    toFloat64(m.mark_price) AS mark_price,
    toFloat64(m.bid_iv) / 100 AS bid_iv,
    toFloat64(m.ask_iv) / 100 AS ask_iv,
    toFloat64(m.mark_iv) / 100 AS mark_iv,
    m.underlying_price AS underlying_price,
    toFloat64(m.index_price) AS index_price,
    toFloat64(m.open_interest) AS open_interest,
    m.exchange_ts AS exchange_ts
FROM {{ source('options_quotes_minute') }} AS m
LEFT JOIN {{ source('instruments') }} AS i ON m.currency = i.currency AND m.instrument_name = i.instrument_name

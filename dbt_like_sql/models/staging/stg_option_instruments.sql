/* @model
name: stg_option_instruments
description: >
  The specification of every option that was alive in the partition, the newest version of each.
owner: team:vol
grain: one row per market and option
key: [currency, instrument_name]
materialized: ephemeral
columns:
  currency: the market
  instrument_name: as on the wire
  creation_ts: when it was listed; NULL when unknown
  expiry_ts: delivery
  strike: USD
  is_call: call or put
  is_inverse: premium in coin or in USD
  premium_currency: unit of its prices
  tick_size: lowest tick
  tick_step_above: prices from which a larger tick holds
  tick_step_size: those ticks
*/
SELECT
    toString(i.currency) AS currency,
    toString(i.instrument_name) AS instrument_name,
    i.creation_ts AS creation_ts,
    i.expiry_ts AS expiry_ts,
    toFloat64(i.strike) AS strike,
    i.option_type = 'call' AS is_call,
    i.instrument_type = 'reversed' AS is_inverse,
    toString(i.quote_currency) AS premium_currency,
    toFloat64(i.tick_size) AS tick_size,
    arrayMap(step -> toFloat64(tupleElement(step, 'above_price')), i.tick_size_steps) AS tick_step_above,
    arrayMap(step -> toFloat64(tupleElement(step, 'tick_size')), i.tick_size_steps) AS tick_step_size
FROM {{ source('instruments') }} AS i
WHERE i.kind = 'option'
    AND i.expiry_ts >= subtractDays({{ partition.start }}, 1)
    AND (i.creation_ts IS NULL OR i.creation_ts < {{ partition.end }})

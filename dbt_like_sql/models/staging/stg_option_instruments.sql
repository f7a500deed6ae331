/* @model
name: stg_option_instruments
description: >
  The specification of every option that was alive in the partition, as it was known when the
  partition ended: the version first seen last before that, or the first of all where every version
  was seen later (an imported board). What is learned later does not change an hour of the past.
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
WITH
firsts AS
(
    SELECT
        v.currency AS currency,
        v.instrument_name AS instrument_name,
        v.content_checksum AS content_checksum,
        min(v.seen_ts) AS first_ts
    FROM
    (
        SELECT k.currency AS currency, k.instrument_name AS instrument_name, k.content_checksum AS content_checksum, k.first_seen_ts AS seen_ts
        FROM {{ source('instrument_versions') }} AS k
        UNION ALL
        -- of versions from before that table there was
        SELECT o.currency AS currency, o.instrument_name AS instrument_name, o.content_checksum AS content_checksum, o.seen_ts AS seen_ts
        FROM {{ source('options_metadata') }} AS o
    ) AS v
    GROUP BY v.currency, v.instrument_name, v.content_checksum
),
chosen AS
(
    SELECT
        f.currency AS currency,
        f.instrument_name AS instrument_name,
        if(
            countIf(f.first_ts < {{ partition.end }}) > 0,
            argMaxIf(f.content_checksum, tuple(f.first_ts, f.content_checksum), f.first_ts < {{ partition.end }}),
            argMin(f.content_checksum, tuple(f.first_ts, f.content_checksum))
        ) AS content_checksum
    FROM firsts AS f
    GROUP BY f.currency, f.instrument_name
)
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
FROM {{ source('options_metadata') }} AS i FINAL
INNER JOIN chosen AS c
    ON i.currency = c.currency AND i.instrument_name = c.instrument_name AND i.content_checksum = c.content_checksum
WHERE i.kind = 'option'
    AND i.expiry_ts >= subtractDays({{ partition.start }}, 1)
    AND (i.creation_ts IS NULL OR i.creation_ts < {{ partition.end }})

/* @model
name: stg_positions
description: >
  Positions of every portfolio, those before the partition included: the newest at or before a
  snapshot hold.
owner: team:vol
grain: one row per portfolio, instant and instrument
key: [portfolio, from_ts, instrument_name]
materialized: ephemeral
columns:
  portfolio: name
  from_ts: from when the portfolio holds exactly the rows of this instant
  instrument_name: as on the wire
  quantity: base coin, negative when short
*/
SELECT
    toString(p.portfolio) AS portfolio,
    toDateTime64(p.from_ts, 3, 'UTC') AS from_ts,
    toString(p.instrument_name) AS instrument_name,
    p.quantity AS quantity
FROM {{ source('positions') }} AS p FINAL
WHERE p.from_ts < {{ partition.end }}

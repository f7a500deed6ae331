/* @model
name: stg_rates
description: >
  The newest interest-rate curves known when the day of the partition begins: a curve is published
  when its day ends.
owner: team:vol
grain: one row per kind of curve and maturity
key: [kind, maturity_years]
materialized: ephemeral
columns:
  curve_date: day of the quotes
  maturity_years: years
  quote: decimal, as the kind says
  kind: treasury, sofr or zero
*/
SELECT
    r.curve_date AS curve_date,
    r.maturity_years AS maturity_years,
    r.quote AS quote,
    toString(r.kind) AS kind
FROM {{ source('rate_quotes') }} AS r FINAL
WHERE r.curve_date = (SELECT max(k.curve_date) FROM {{ source('rate_quotes') }} AS k WHERE k.curve_date < toDate({{ partition.start }}))

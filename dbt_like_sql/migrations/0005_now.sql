-- The record continued by the live tail: rows of the record, then what the live view computed for the hours
-- that the record has not published yet.  An hour belongs to one or the other, never to both.

CREATE VIEW IF NOT EXISTS surfaces_now AS
SELECT snapshot_ts, currency, expiry_ts, expiry_years, forward, model, a, b, rho, m, sigma, jw_v, jw_psi, jw_p, jw_c, jw_v_tilde,
       atm_vol, fit_source, status, reason, rmse, max_error, in_spread_share, retained_share, quotes, one_sided_quotes,
       butterfly_free, calendar_free, wings_free, g_minimum, repaired_lambda, vol_error, k_minimum, k_maximum,
       oldest_quote_age_seconds, completeness, residual_start, residual_step, residual, code_version, false AS is_live
FROM surfaces
UNION ALL
SELECT toDateTime(l.snapshot_ts) AS snapshot_ts, currency, expiry_ts, expiry_years, forward, model, a, b, rho, m, sigma, jw_v, jw_psi, jw_p, jw_c, jw_v_tilde,
       atm_vol, fit_source, status, reason, rmse, max_error, in_spread_share, retained_share, quotes, one_sided_quotes,
       butterfly_free, calendar_free, wings_free, g_minimum, repaired_lambda, vol_error, k_minimum, k_maximum,
       oldest_quote_age_seconds, completeness, residual_start, residual_step, residual, code_version, true AS is_live
FROM live_surfaces AS l
WHERE toStartOfHour(toDateTime(l.snapshot_ts)) NOT IN
      (SELECT hour_ts FROM derivation_runs WHERE table_name = 'surfaces' AND rows > 0 AND hour_ts > now() - INTERVAL 30 DAY);

CREATE VIEW IF NOT EXISTS options_greeks_now AS
SELECT snapshot_ts, currency, expiry_ts, expiry_years, instrument_name, strike, is_call, forward, vol, vol_source, price_usd, price_coin,
       delta, gamma, vega, theta, rho, vanna, volga, charm, veta, speed, zomma, color, ultima, delta_coin, delta_sticky_moneyness,
       mark_iv, mark_price, open_interest, code_version, false AS is_live
FROM options_greeks
UNION ALL
SELECT toDateTime(l.snapshot_ts) AS snapshot_ts, currency, expiry_ts, expiry_years, instrument_name, strike, is_call, forward, vol, vol_source, price_usd, price_coin,
       delta, gamma, vega, theta, rho, vanna, volga, charm, veta, speed, zomma, color, ultima, delta_coin, delta_sticky_moneyness,
       mark_iv, mark_price, open_interest, code_version, true AS is_live
FROM live_greeks AS l
WHERE toStartOfHour(toDateTime(l.snapshot_ts)) NOT IN
      (SELECT hour_ts FROM derivation_runs WHERE table_name = 'options_greeks' AND rows > 0 AND hour_ts > now() - INTERVAL 30 DAY);

-- Of the live tail: listed expiries from live_surfaces, constant maturities from live_metrics (no forward there).
CREATE VIEW IF NOT EXISTS term_structure_now AS
SELECT snapshot_ts, currency, expiry_ts, expiry_years, days, is_constant_maturity, forward, atm_vol, atm_total_variance, forward_vol, code_version, false AS is_live
FROM term_structure
UNION ALL
SELECT at AS snapshot_ts, currency, toNullable(expiry_ts) AS expiry_ts, expiry_years, 365 * expiry_years AS days, false AS is_constant_maturity,
       forward, atm_vol, variance AS atm_total_variance,
       if(variance >= variance_before AND expiry_years > years_before, sqrt((variance - variance_before) / (expiry_years - years_before)), NULL) AS forward_vol,
       code_version, true AS is_live
FROM
(
    SELECT toDateTime(l.snapshot_ts) AS at, l.currency AS currency, l.expiry_ts AS expiry_ts, l.expiry_years AS expiry_years, l.forward AS forward,
           l.atm_vol AS atm_vol, l.atm_vol * l.atm_vol * l.expiry_years AS variance, l.code_version AS code_version,
           lagInFrame(assumeNotNull(l.atm_vol * l.atm_vol * l.expiry_years), 1, 0.) OVER board AS variance_before,
           lagInFrame(l.expiry_years, 1, 0.) OVER board AS years_before
    FROM live_surfaces AS l
    WHERE l.atm_vol IS NOT NULL
      AND toStartOfHour(toDateTime(l.snapshot_ts)) NOT IN
          (SELECT hour_ts FROM derivation_runs WHERE table_name = 'term_structure' AND rows > 0 AND hour_ts > now() - INTERVAL 30 DAY)
    WINDOW board AS (PARTITION BY l.currency, l.computed_ts ORDER BY l.expiry_years ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
UNION ALL
SELECT toDateTime(l.snapshot_ts) AS snapshot_ts, currency, CAST(NULL, 'Nullable(DateTime(''UTC''))') AS expiry_ts, days / 365 AS expiry_years,
       toFloat64(extract(metric, '_([0-9]+)d$')) AS days, true AS is_constant_maturity, CAST(NULL, 'Nullable(Float64)') AS forward,
       value AS atm_vol, value * value * days / 365 AS atm_total_variance, CAST(NULL, 'Nullable(Float64)') AS forward_vol, code_version, true AS is_live
FROM live_metrics AS l
WHERE match(metric, '^atm_vol_[0-9]+d$')
  AND toStartOfHour(toDateTime(l.snapshot_ts)) NOT IN
      (SELECT hour_ts FROM derivation_runs WHERE table_name = 'term_structure' AND rows > 0 AND hour_ts > now() - INTERVAL 30 DAY);

-- Of the live tail: constant maturities, as far as live_metrics holds them; the rest is NULL until the hour closes.
CREATE VIEW IF NOT EXISTS skew_metrics_now AS
SELECT snapshot_ts, currency, expiry_ts, expiry_years, days, is_constant_maturity, atm_vol, risk_reversal_25, butterfly_25,
       risk_reversal_10, butterfly_10, risk_reversal_25_pa, butterfly_25_pa, skew_slope, skew_curvature, code_version, false AS is_live
FROM skew_metrics
UNION ALL
SELECT at AS snapshot_ts, currency, CAST(NULL, 'Nullable(DateTime(''UTC''))') AS expiry_ts, maturity / 365 AS expiry_years, maturity AS days, true AS is_constant_maturity,
       anyIf(value, measure = 'atm_vol') AS atm_vol, anyIf(value, measure = 'risk_reversal_25') AS risk_reversal_25,
       anyIf(value, measure = 'butterfly_25') AS butterfly_25, anyIf(value, measure = 'risk_reversal_10') AS risk_reversal_10,
       anyIf(value, measure = 'butterfly_10') AS butterfly_10, anyIf(value, measure = 'risk_reversal_25_pa') AS risk_reversal_25_pa,
       anyIf(value, measure = 'butterfly_25_pa') AS butterfly_25_pa, anyIf(value, measure = 'skew_slope') AS skew_slope,
       anyIf(value, measure = 'skew_curvature') AS skew_curvature, any(version) AS code_version, true AS is_live
FROM
(
    SELECT toDateTime(l.snapshot_ts) AS at, l.computed_ts AS computed_ts, l.currency AS currency, l.value AS value, l.code_version AS version,
           replaceRegexpOne(toString(l.metric), '_[0-9]+d$', '') AS measure, toFloat64(extract(l.metric, '_([0-9]+)d$')) AS maturity
    FROM live_metrics AS l
    WHERE match(l.metric, '_[0-9]+d$')
      AND toStartOfHour(toDateTime(l.snapshot_ts)) NOT IN
          (SELECT hour_ts FROM derivation_runs WHERE table_name = 'skew_metrics' AND rows > 0 AND hour_ts > now() - INTERVAL 30 DAY)
)
GROUP BY at, computed_ts, currency, maturity;

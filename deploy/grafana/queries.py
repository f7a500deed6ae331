"""The SQL behind the panels; time ranges only through the plugin's macros.

`DateTime` columns take ``$__timeFilter``, `DateTime64` ones ``$__timeFilter_ms`` (the other form
cuts them to seconds).  Dashboard variables arrive quoted (``${currency:singlequote}``).
"""

from __future__ import annotations

__all__ = [
    "ATM_HISTORY",
    "CURRENCIES",
    "DEAD_LETTERS",
    "EXPIRIES",
    "FIT",
    "GAPS",
    "INGESTION_RATE",
    "LIVE_LAG",
    "QUOTES",
    "SKEW_HISTORY",
    "SURFACE_AGE",
    "SURFACE_TABLE",
    "TERM_STRUCTURE",
    "WIRE_LAG",
]

CURRENCIES = """\
SELECT DISTINCT currency FROM surfaces WHERE snapshot_ts > now() - INTERVAL 2 DAY
UNION DISTINCT
SELECT DISTINCT currency FROM live_surfaces WHERE computed_ts > now() - INTERVAL 2 DAY
ORDER BY currency"""

# The newest surface in the time range: the live view's while it runs, else the record's.
_NEWEST = """\
WITH candidates AS
(
    SELECT toDateTime64(snapshot_ts, 3, 'UTC') AS as_of, expiry_ts, expiry_years, forward,
           a, b, rho, m, sigma, atm_vol, vol_error, status, reason, rmse, in_spread_share, quotes,
           k_minimum, k_maximum
    FROM surfaces
    WHERE currency = ${currency:singlequote}
      AND snapshot_ts = (SELECT max(snapshot_ts) FROM surfaces
                         WHERE currency = ${currency:singlequote} AND $__timeFilter(snapshot_ts))
    UNION ALL
    SELECT snapshot_ts AS as_of, expiry_ts, expiry_years, forward,
           a, b, rho, m, sigma, atm_vol, vol_error, status, reason, rmse, in_spread_share, quotes,
           k_minimum, k_maximum
    FROM live_surfaces
    WHERE currency = ${currency:singlequote}
      AND computed_ts = (SELECT max(computed_ts) FROM live_surfaces
                         WHERE currency = ${currency:singlequote}
                           AND $__timeFilter_ms(computed_ts))
),
newest AS
(
    SELECT * FROM candidates WHERE as_of = (SELECT max(as_of) FROM candidates) LIMIT 1 BY expiry_ts
)
"""

_EXPIRY = "formatDateTime(expiry_ts, '%d%b%y')"


def _svi(k: str) -> str:
    """Volatility of raw SVI at log-moneyness `k` (Gatheral 2004)."""
    return (
        f"sqrt((a + b * (rho * ({k} - m) + sqrt(pow({k} - m, 2) + sigma * sigma))) / expiry_years)"
    )


EXPIRIES = (
    _NEWEST
    + f"""\
SELECT {_EXPIRY} AS __text, toString(toUnixTimestamp(expiry_ts)) AS __value
FROM newest WHERE forward IS NOT NULL ORDER BY expiry_ts"""
)

SURFACE_AGE = (
    _NEWEST
    + """\
SELECT dateDiff('millisecond', max(as_of), now64(3)) / 1000 AS age,
       countIf(status = 'ok' OR status = 'repaired') AS sound,
       countIf(status = 'refused') AS refused,
       sum(in_spread_share * quotes) / sum(if(isNull(in_spread_share), 0, quotes)) AS in_spread
FROM newest"""
)

_DEVIATIONS = (-2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0)

SURFACE_TABLE = (
    _NEWEST
    + f"""\
SELECT {_EXPIRY} AS expiry, 365 * expiry_years AS days, forward, atm_vol,
"""
    + ",\n".join(
        f"       {_svi(f'({deviations} * atm_vol * sqrt(expiry_years))')} AS `{deviations:+g} σ`"
        for deviations in _DEVIATIONS
    )
    + """,
       rmse, in_spread_share, quotes, status, reason
FROM newest ORDER BY expiry_ts"""
)

FIT = (
    _NEWEST
    + f"""\
, points AS
(
    SELECT *, k_minimum - 0.05 * (k_maximum - k_minimum)
                + arrayJoin(range(101)) / 100 * 1.1 * (k_maximum - k_minimum) AS log_moneyness
    FROM newest
    WHERE toUnixTimestamp(expiry_ts) = toUInt32OrZero(${{expiry:singlequote}})
)
SELECT log_moneyness, {_svi("log_moneyness")} AS fit FROM points ORDER BY log_moneyness"""
)

QUOTES = (
    _NEWEST
    + """\
SELECT log(toFloat64(i.strike) / n.forward) AS log_moneyness,
       toFloat64(q.bid_iv) / 100 AS bid, toFloat64(q.ask_iv) / 100 AS ask
FROM options_quotes_latest AS q
INNER JOIN instruments AS i ON i.instrument_name = q.instrument_name AND i.currency = q.currency
INNER JOIN newest AS n ON toUnixTimestamp(n.expiry_ts) = toUnixTimestamp(i.expiry_ts)
WHERE q.currency = ${currency:singlequote} AND $__timeFilter_ms(q.exchange_ts)
  AND toUnixTimestamp(n.expiry_ts) = toUInt32OrZero(${expiry:singlequote})
  AND (i.option_type = 'call') = (toFloat64(i.strike) >= n.forward)
  AND log_moneyness BETWEEN n.k_minimum - 0.2 AND n.k_maximum + 0.2
ORDER BY log_moneyness"""
)

TERM_STRUCTURE = (
    _NEWEST
    + """\
SELECT 365 * expiry_years AS days, atm_vol, atm_vol - vol_error AS low, atm_vol + vol_error AS high
FROM newest WHERE atm_vol IS NOT NULL ORDER BY days"""
)

ATM_HISTORY = """\
SELECT snapshot_ts AS time, concat(toString(round(days)), ' d') AS maturity, atm_vol
FROM term_structure
WHERE currency = ${currency:singlequote} AND is_constant_maturity
  AND $__timeFilter(snapshot_ts) AND atm_vol IS NOT NULL
ORDER BY time, days"""

SKEW_HISTORY = """\
SELECT snapshot_ts AS time, risk_reversal_25 AS `25-delta risk reversal (call − put)`,
       butterfly_25 AS `25-delta butterfly`
FROM skew_metrics
WHERE currency = ${currency:singlequote} AND is_constant_maturity AND round(days) = 30
  AND $__timeFilter(snapshot_ts)
ORDER BY time"""

INGESTION_RATE = """\
SELECT time, source, rows / $__interval_s AS rate
FROM
(
    SELECT $__timeInterval(received_ts) AS time, 'options' AS source, count() AS rows
    FROM options_quotes WHERE $__timeFilter_ms(received_ts) GROUP BY time
    UNION ALL
    SELECT $__timeInterval(received_ts) AS time, 'futures' AS source, count() AS rows
    FROM futures_prices WHERE $__timeFilter_ms(received_ts) GROUP BY time
    UNION ALL
    SELECT $__timeInterval(received_ts) AS time, 'index' AS source, count() AS rows
    FROM spot_prices WHERE $__timeFilter_ms(received_ts) GROUP BY time
)
ORDER BY time, source"""

WIRE_LAG = """\
SELECT $__timeInterval(received_ts) AS time,
       quantile(0.5)(dateDiff('microsecond', exchange_ts, received_ts)) / 1e6 AS p50,
       quantile(0.99)(dateDiff('microsecond', exchange_ts, received_ts)) / 1e6 AS p99
FROM options_quotes
WHERE currency = ${currency:singlequote} AND source = 'stream' AND $__timeFilter_ms(received_ts)
GROUP BY time ORDER BY time"""

LIVE_LAG = """\
SELECT computed_ts AS time, replaceRegexpOne(metric, '_seconds$', '') AS lag, value
FROM live_metrics
WHERE currency = ${currency:singlequote} AND startsWith(metric, 'lag_from_')
  AND $__timeFilter_ms(computed_ts)
ORDER BY time, lag"""

GAPS = """\
SELECT from_ts AS `from`, to_ts AS `to`,
       dateDiff('millisecond', from_ts, coalesce(to_ts, now64(6))) / 1000 AS seconds,
       cause, channel, detail, repair_method, collector
FROM ingest_gaps FINAL
WHERE $__timeFilter_ms(from_ts)
ORDER BY from_ts DESC LIMIT 100"""

DEAD_LETTERS = """\
SELECT $__timeInterval(received_ts) AS time, reason, count() AS messages
FROM dead_letters
WHERE $__timeFilter_ms(received_ts)
GROUP BY time, reason ORDER BY time, reason"""

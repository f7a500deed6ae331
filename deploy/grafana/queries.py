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

_EXPIRY = "formatDateTime(expiry_ts, '%d%b%y')"
_CHOSEN = "toUnixTimestamp(expiry_ts) = toUInt32OrZero(${expiry:singlequote})"


def _newest(name: str, record_table: str, live_table: str, columns: str, key: str) -> str:
    """Rows of the newest instant in the time range: the live view's, else the record's."""
    return f"""\
{name}_candidates AS
(
    SELECT toDateTime64(snapshot_ts, 3, 'UTC') AS as_of, {columns}
    FROM {record_table}
    WHERE currency = ${{currency:singlequote}}
      AND snapshot_ts = (SELECT max(snapshot_ts) FROM {record_table}
                         WHERE currency = ${{currency:singlequote}} AND $__timeFilter(snapshot_ts))
    UNION ALL
    SELECT snapshot_ts AS as_of, {columns}
    FROM {live_table}
    WHERE currency = ${{currency:singlequote}}
      AND computed_ts = (SELECT max(computed_ts) FROM {live_table}
                         WHERE currency = ${{currency:singlequote}}
                           AND $__timeFilter_ms(computed_ts))
),
{name} AS
(
    SELECT * FROM {name}_candidates
    WHERE as_of = (SELECT max(as_of) FROM {name}_candidates) LIMIT 1 BY {key}
)"""


_SURFACE = _newest(
    "surface",
    "surfaces",
    "live_surfaces",
    "expiry_ts, expiry_years, forward, atm_vol, vol_error, status, reason, rmse, "
    "in_spread_share, quotes, k_minimum, k_maximum",
    "expiry_ts",
)
# The surface at every listed strike, out-of-the-money side: exact, whatever the model of the slice.
_SMILES = (
    _newest(
        "options",
        "options_greeks",
        "live_greeks",
        "expiry_ts, instrument_name, strike, is_call, forward, vol, vol_source, delta",
        "instrument_name",
    )
    + """,
smiles AS
(
    SELECT expiry_ts, log(strike / forward) AS log_moneyness, vol,
           if(is_call, delta, 1 + delta) AS call_delta
    FROM options
    WHERE vol_source = 'surface' AND is_call = (strike >= forward) AND vol IS NOT NULL
)"""
)

EXPIRIES = (
    f"WITH {_SURFACE}\n"
    f"SELECT {_EXPIRY} AS __text, toString(toUnixTimestamp(expiry_ts)) AS __value\n"
    "FROM surface WHERE status != 'refused' ORDER BY expiry_ts"
)

SURFACE_AGE = f"""\
WITH {_SURFACE}
SELECT dateDiff('millisecond', max(as_of), now64(3)) / 1000 AS age,
       countIf(status = 'ok' OR status = 'repaired') AS sound,
       countIf(status = 'refused') AS refused,
       sum(in_spread_share * quotes) / sum(if(isNull(in_spread_share), 0, quotes)) AS in_spread
FROM surface"""

_DELTAS = {"5P": 0.95, "10P": 0.9, "25P": 0.75, "25C": 0.25, "10C": 0.1, "5C": 0.05}
"""Columns of the surface table and the call delta of each."""


def _at_delta(name: str, call_delta: float) -> str:
    """Vol at a call delta: straight line between the two listed strikes around it."""
    after = f"arrayFirstIndex(p -> p.1 >= {call_delta}, points)"
    step = f"(points[{after}].1 - points[{after} - 1].1)"
    return (
        f"if({after} > 1, points[{after} - 1].2 + (points[{after}].2 - points[{after} - 1].2)"
        f" * ({call_delta} - points[{after} - 1].1) / {step}, NULL) AS `{name}`"
    )


_COLUMNS = [_at_delta(name, call_delta) for name, call_delta in _DELTAS.items()]
_PUTS, _CALLS = ",\n       ".join(_COLUMNS[:3]), ",\n       ".join(_COLUMNS[3:])

SURFACE_TABLE = f"""\
WITH {_SURFACE},
{_SMILES},
curves AS
(
    SELECT expiry_ts,
           arraySort(groupArray((assumeNotNull(call_delta), assumeNotNull(vol)))) AS points
    FROM smiles GROUP BY expiry_ts
)
SELECT {_EXPIRY} AS expiry, 365 * s.expiry_years AS days, s.forward AS forward,
       {_PUTS},
       s.atm_vol AS ATM,
       {_CALLS},
       s.rmse AS rmse, s.in_spread_share AS in_spread, s.quotes AS quotes,
       s.status AS status, s.reason AS reason
FROM surface AS s LEFT JOIN curves AS c ON c.expiry_ts = s.expiry_ts
ORDER BY s.expiry_ts"""

FIT = f"""\
WITH {_SMILES}
SELECT log_moneyness, vol AS fit FROM smiles WHERE {_CHOSEN} ORDER BY log_moneyness"""

QUOTES = f"""\
WITH {_SURFACE}
SELECT log(toFloat64(i.strike) / s.forward) AS log_moneyness,
       toFloat64(q.bid_iv) / 100 AS bid, toFloat64(q.ask_iv) / 100 AS ask
FROM options_quotes_latest AS q
INNER JOIN instruments AS i ON i.instrument_name = q.instrument_name AND i.currency = q.currency
INNER JOIN surface AS s ON toUnixTimestamp(s.expiry_ts) = toUnixTimestamp(i.expiry_ts)
WHERE q.currency = ${{currency:singlequote}} AND $__timeFilter_ms(q.exchange_ts)
  AND toUnixTimestamp(i.expiry_ts) = toUInt32OrZero(${{expiry:singlequote}})
  AND (i.option_type = 'call') = (toFloat64(i.strike) >= s.forward)
ORDER BY log_moneyness"""

TERM_STRUCTURE = f"""\
WITH {_SURFACE}
SELECT 365 * expiry_years AS days, atm_vol, atm_vol - vol_error AS low, atm_vol + vol_error AS high
FROM surface WHERE atm_vol IS NOT NULL ORDER BY days"""

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

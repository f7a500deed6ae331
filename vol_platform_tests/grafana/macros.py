"""What Grafana and the ClickHouse plugin do to a panel's SQL before it is sent.

Rules of the plugin's macros: its documentation and `pkg/macros/macros.go` (4.x), in our own words.
"""

import re
from collections.abc import Mapping
from datetime import datetime

__all__ = ["UnknownMacroError", "expand"]

_MACRO = re.compile(r"\$__(\w+)(?:\(([^()]*)\))?")
_VARIABLE = re.compile(r"\$\{(\w+):singlequote\}")


class UnknownMacroError(Exception):
    """The plugin would leave this in the SQL, and ClickHouse would refuse it."""


def expand(
    sql: str,
    start: datetime,
    end: datetime,
    interval_seconds: int,
    variables: Mapping[str, str],
) -> str:
    """Interpolate dashboard variables (single-quoted), then expand the plugin's macros."""

    def variable(match: re.Match[str]) -> str:
        return "'" + variables[match[1]].replace("'", "\\'") + "'"

    seconds = f"toDateTime({int(start.timestamp())})", f"toDateTime({int(end.timestamp())})"
    milliseconds = tuple(
        f"fromUnixTimestamp64Milli({int(1000 * instant.timestamp())})" for instant in (start, end)
    )

    def macro(match: re.Match[str]) -> str:
        name, column = match[1], (match[2] or "").strip()
        if name in ("timeFilter", "timeFilter_ms"):
            low, high = milliseconds if name.endswith("_ms") else seconds
            return f"{column} >= {low} AND {column} <= {high}"
        if name in ("fromTime", "toTime", "fromTime_ms", "toTime_ms"):
            ends = milliseconds if name.endswith("_ms") else seconds
            return ends[name.startswith("to")]
        if name == "timeInterval":
            return f"toStartOfInterval(toDateTime({column}), INTERVAL {interval_seconds} second)"
        if name == "timeInterval_ms":
            milli = 1000 * interval_seconds
            return f"toStartOfInterval(toDateTime64({column}, 3), INTERVAL {milli} millisecond)"
        if name == "interval_s":
            return str(interval_seconds)
        raise UnknownMacroError(match[0])

    return _MACRO.sub(macro, _VARIABLE.sub(variable, sql))

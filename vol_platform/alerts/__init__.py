"""Alert rules and the messages they become.

`rules` decides (pure functions over the state last seen and the state now), `notify` delivers.
"""

from vol_platform.alerts.messages import Alert, Severity
from vol_platform.alerts.rules import CheckResult, Verdict, failed_checks, stale_feeds
from vol_platform.alerts.telegram import notify

__all__ = [
    "Alert",
    "CheckResult",
    "Severity",
    "Verdict",
    "failed_checks",
    "notify",
    "stale_feeds",
]

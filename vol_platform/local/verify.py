"""Is everything there?  What `vol up --once` asks before it exits 0.

Each check looks at what a user would look at: rows in tables, keys in Redis, partitions in
Dagster.  A check is asked again until it holds or time is up, because the parts need a moment to
fill what they fill.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from vol_platform.clock import monotonic_seconds
from vol_platform.errors import StoreError
from vol_platform.local.plan import Plan
from vol_platform.local.readout import frame
from vol_platform.local.screen import Screen
from vol_platform.local.supervisor import Supervisor
from vol_platform.settings import Settings

__all__ = ["Check", "Finding", "stack_checks", "verify"]

_PATIENCE_SECONDS = 240.0
_POLL_SECONDS = 1.0
_RAW_TABLES = ("options_quotes", "futures_prices", "spot_prices", "options_metadata")
_RECORD_TABLES = (
    "quotes_clean",
    "forward_curve",
    "surfaces",
    "options_greeks",
    "term_structure",
    "skew_metrics",
)
_ARCHIVE = "archive"
_LIVE_KEYS = ("surface", "greeks", "forwards", "term_structure", "status")


@dataclass(frozen=True)
class Finding:
    """What a check saw."""

    good: bool
    seen: str


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    name: str
    look: Callable[[], Finding]


def _count(settings: Settings, sql: str, parameters: dict[str, object] | None = None) -> int:
    from vol_platform.store.client import connect

    client = connect(settings)
    try:
        return int(frame(client, sql, parameters).item())
    finally:
        client.close()


def _rows_check(settings: Settings, name: str, sql: str, unit: str) -> Check:
    def look() -> Finding:
        rows = _count(settings, sql)
        return Finding(good=rows > 0, seen=f"{rows:,} {unit}")

    return Check(name, look)


def _dead_letters_check(settings: Settings) -> Check:
    def look() -> Finding:
        rows = _count(settings, "SELECT count() FROM dead_letters")
        return Finding(good=rows == 0, seen=f"{rows:,} dead letters")

    return Check("every message was understood", look)


def _redis_check(settings: Settings, currency: str) -> Check:
    def look() -> Finding:
        import redis

        prefix = f"{settings.clickhouse.database}:{currency}"
        with redis.Redis.from_url(settings.redis.url) as client:
            missing = [name for name in _LIVE_KEYS if not client.exists(f"{prefix}:{name}")]
        seen = f"missing: {', '.join(missing)}" if missing else f"{len(_LIVE_KEYS)} keys"
        return Finding(good=not missing, seen=seen)

    return Check(f"Redis keys of {currency}", look)


def _ask_dagster(settings: Settings, query: str) -> dict[str, object]:
    url = f"http://{settings.dagster.host}:{settings.dagster.port}/graphql"
    request = urllib.request.Request(
        url, json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10.0) as response:  # noqa: S310 - our own http address
        answer = json.load(response)
    data: dict[str, object] = answer["data"]
    return data


_ASSETS_QUERY = """
{ assetNodes {
    assetKey { path }
    isExecutable
    partitionStats { numMaterialized numFailed }
    assetMaterializations(limit: 1) { runId }
    assetChecksOrError { ... on AssetChecks { checks {
        name executionForLatestMaterialization { status evaluation { severity } } } } }
} }
"""


def _asset_nodes(settings: Settings) -> list[dict[str, object]]:
    nodes = _ask_dagster(settings, _ASSETS_QUERY)["assetNodes"]
    return nodes if isinstance(nodes, list) else []


def _materialised_check(settings: Settings, hours: int) -> Check:
    def look() -> Finding:
        missing = []
        partitioned = 0
        for node in _asset_nodes(settings):
            path, stats = node["assetKey"], node["partitionStats"]
            if (
                not node["isExecutable"]
                or not isinstance(stats, dict)
                or not isinstance(path, dict)
                or path["path"][0] == _ARCHIVE  # days, and only where there is an S3
            ):
                continue
            partitioned += 1
            if stats["numMaterialized"] < hours:
                missing.append(f"{'/'.join(path['path'])} has {stats['numMaterialized']}")
        if missing:
            return Finding(good=False, seen=f"{hours} hours wanted; {', '.join(missing[:3])}")
        return Finding(
            good=partitioned > 0, seen=f"{partitioned} assets, {hours} hours or more each"
        )

    return Check("Dagster partitions", look)


def _asset_checks_check(settings: Settings) -> Check:
    def look() -> Finding:
        passed, failed = 0, []
        for node in _asset_nodes(settings):
            path, answer = node["assetKey"], node["assetChecksOrError"]
            if not isinstance(path, dict) or not isinstance(answer, dict):
                continue
            for check in answer.get("checks", []):
                execution = check["executionForLatestMaterialization"]
                if execution is None:
                    continue
                if execution["status"] == "SUCCEEDED":
                    passed += 1
                elif execution["status"] != "IN_PROGRESS":
                    failed.append(f"{'/'.join(path['path'])}: {check['name']}")
        if failed:
            return Finding(good=False, seen=f"failed: {', '.join(failed[:3])}")
        return Finding(good=passed > 0, seen=f"{passed} passed")

    return Check("Dagster asset checks", look)


def stack_checks(plan: Plan) -> list[Check]:
    """Return everything that must hold for the stack of `plan`."""
    settings, options = plan.settings, plan.options
    checks = [
        _rows_check(settings, f"raw {table}", f"SELECT count() FROM {table}", "rows")  # noqa: S608 - our own names
        for table in _RAW_TABLES
    ]
    checks += [
        _rows_check(
            settings,
            "quotes are streaming in",
            "SELECT count() FROM options_quotes WHERE source = 'stream'",
            "rows",
        ),
        _dead_letters_check(settings),
        _rows_check(
            settings,
            "live surface",
            "SELECT count() FROM live_surfaces WHERE status = 'ok'",
            "expiries with status ok",
        ),
        _rows_check(settings, "live greeks", "SELECT count() FROM live_greeks", "rows"),
    ]
    checks += [_redis_check(settings, currency) for currency in options.currencies]
    if options.with_dagster and options.exchange == "simulator" and options.history_hours:
        checks += [
            _rows_check(settings, f"record {table}", f"SELECT count() FROM {table}", "rows")  # noqa: S608 - our own names
            for table in _RECORD_TABLES
        ]
        checks += [
            _rows_check(
                settings,
                "record surfaces are good",
                "SELECT count() FROM surfaces WHERE status = 'ok'",
                "expiries with status ok",
            ),
            _materialised_check(settings, options.history_hours),
            _asset_checks_check(settings),
        ]
    return checks


def _look(check: Check) -> Finding:
    import redis.exceptions

    try:
        return check.look()
    except (
        StoreError,
        redis.exceptions.RedisError,
        urllib.error.URLError,
        OSError,
        KeyError,
    ) as error:
        return Finding(good=False, seen=f"cannot tell: {' '.join(str(error).split())[:100]}")


async def verify(plan: Plan, supervisor: Supervisor, screen: Screen) -> int:
    """Wait until everything holds, say what was seen; returns the exit code."""
    deadline = monotonic_seconds() + _PATIENCE_SECONDS
    checks = stack_checks(plan)
    findings: dict[str, Finding] = {}
    while monotonic_seconds() < deadline:
        open_checks = [
            check
            for check in checks
            if not findings.get(check.name, Finding(good=False, seen="")).good
        ]
        if not open_checks:
            break
        held = len(checks) - len(open_checks)
        screen.note = f"{held} of {len(checks)} checks hold; waiting for: {open_checks[0].name}"
        for check in open_checks:
            findings[check.name] = await asyncio.to_thread(_look, check)
        await asyncio.sleep(_POLL_SECONDS)
    restarts = sum(state.restarts for state in supervisor.states.values())
    findings["no part had to be started again"] = Finding(
        good=restarts == 0, seen=f"{restarts} restarts"
    )
    screen.say(_findings_table(findings))
    missing = [name for name, finding in findings.items() if not finding.good]
    if missing:
        screen.say(f"Missing: {'; '.join(f'{name} ({findings[name].seen})' for name in missing)}")
        screen.say(f"The logs are in {plan.layout.logs}.")
        return 1
    screen.say("Everything is there.")
    return 0


def _findings_table(findings: dict[str, Finding]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "seen"):
        table.add_column(heading)
    for name, finding in findings.items():
        mark = Text("ok", style="green") if finding.good else Text("MISSING", style="red")
        table.add_row(mark, name, finding.seen)
    return table

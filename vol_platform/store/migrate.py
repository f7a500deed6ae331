"""Bringing a database to the newest schema: numbered files of SQL, each run once.

The files are plain SQL for one server and every statement in them may run twice (``IF NOT
EXISTS``), so that two processes may migrate at the same moment: both run the same statements, both
write the same record; the one that finds a table gone that the other has copied and dropped waits
for that record.  With a cluster configured the same files get ``ON CLUSTER`` and Replicated
engines.

clickhouse-migrations 0.16 was considered: its lock needs Keeper, which the embedded store has not;
its cluster support wants ``${…}`` placeholders in the files and leaves the engines alone; it loads
the native protocol's driver even for HTTP.  What is left to do is this module.
"""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from vol_platform.clock import monotonic_seconds
from vol_platform.errors import MigrationError
from vol_platform.settings import Settings
from vol_platform.store.client import connect, with_retries
from vol_platform.store.retention import apply_retention, retention_of, with_ttl
from vol_platform.store.server.statement import words

__all__ = ["Migration", "for_cluster", "load_migrations", "migrate", "pending", "split_statements"]

_UNKNOWN_TABLE = 60
_OTHERS_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql\Z")

_RECORD = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version     UInt32,
    name        String,
    checksum    String COMMENT 'SHA-256 of the file',
    applied_ts  DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = ReplacingMergeTree
ORDER BY version
SETTINGS non_replicated_deduplication_window = 10000
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def load_migrations(directory: Traversable | None = None) -> list[Migration]:
    """Read the numbered files in order.

    Raises
    ------
    MigrationError
        A file is misnamed or a number is used twice.
    """
    directory = directory or resources.files("dbt_like_sql") / "migrations"
    found: dict[int, Migration] = {}
    for file in directory.iterdir():
        if not file.name.endswith(".sql"):
            continue
        named = _FILE_NAME.match(file.name)
        if named is None:
            raise MigrationError(
                f"a migration must be named like 0007_what_it_does.sql, was {file.name}; rename it"
            )
        version = int(named[1])
        if version in found:
            raise MigrationError(
                f"migration number {version:04d} is used by {found[version].name} and {file.name}; "
                "give one the next free number"
            )
        found[version] = Migration(version, file.name, file.read_text(encoding="utf-8"))
    return [found[version] for version in sorted(found)]


def migrate(settings: Settings, directory: Traversable | None = None) -> list[str]:
    """Create the database and run what has not run yet; return the names of the files that ran.

    Parameters
    ----------
    settings
        Where ClickHouse is, which database and cluster, how long rows stay.
    directory
        Files to run; None takes the platform's own.

    Raises
    ------
    MigrationError
        A statement failed, or a file that already ran was changed.
    StoreError
        ClickHouse does not answer.
    """
    migrations = load_migrations(directory)
    expressions = retention_of(settings)
    cluster = settings.clickhouse.cluster
    database = settings.clickhouse.database
    with connect(settings, database="default") as administrator:
        on_cluster = f" ON CLUSTER `{cluster}`" if cluster else ""
        _run(
            administrator, f"CREATE DATABASE IF NOT EXISTS `{database}`{on_cluster}", "the database"
        )
    with connect(settings) as client:
        _run(client, for_cluster(_RECORD, cluster), "schema_migrations")
        waiting = pending(client, migrations)
        for migration in waiting:
            try:
                for statement in split_statements(migration.sql):
                    text = with_ttl(for_cluster(statement, cluster), expressions)
                    _run(client, text, migration.name)
            except MigrationError as error:
                if _has_dropped_a_table(error) and _others_finish(client, migration, migrations):
                    continue
                raise
            client.insert(
                "schema_migrations",
                [[migration.version, migration.name, migration.checksum]],
                column_names=["version", "name", "checksum"],
            )
        if directory is None:
            apply_retention(client, settings)
    return [migration.name for migration in waiting]


def _has_dropped_a_table(error: MigrationError) -> bool:
    return getattr(error.__cause__, "code", None) == _UNKNOWN_TABLE


def _others_finish(client: Client, migration: Migration, migrations: list[Migration]) -> bool:
    """Wait until the process that dropped what a statement of ours reads records the migration."""
    end = monotonic_seconds() + _OTHERS_SECONDS
    while monotonic_seconds() < end:
        if migration not in pending(client, migrations):
            return True
        time.sleep(_LOOK_SECONDS)
    return False


def pending(client: Client, migrations: list[Migration]) -> list[Migration]:
    """Return the migrations that have not run in the client's database.

    Raises
    ------
    MigrationError
        A file that ran was changed since, or the database is newer than the files.
    """
    applied = {
        version: (name, checksum)
        for version, name, checksum in client.query(
            "SELECT version, name, checksum FROM schema_migrations FINAL"
        ).result_rows
    }
    for migration in migrations:
        if migration.version not in applied:
            continue
        name, checksum = applied[migration.version]
        if checksum != migration.checksum:
            raise MigrationError(
                f"migration {name} was changed after it ran (SHA-256 then {checksum[:12]}…, now "
                f"{migration.checksum[:12]}…); put the file back and write the change as a new "
                "migration"
            )
    known = {migration.version for migration in migrations}
    newer = sorted(set(applied) - known)
    if newer:
        raise MigrationError(
            f"the database has migration {applied[newer[-1]][0]}, which this version of "
            "vol-platform does "
            "not know; update vol-platform"
        )
    return [migration for migration in migrations if migration.version not in applied]


def split_statements(sql: str) -> list[str]:
    """Split a file at the semicolons that stand outside quotes, comments and brackets."""
    text = sql.encode()
    statements = []
    start = 0
    tokens = words(text)
    for token in tokens:
        if token.text == b";":
            statements.append(text[start : token.start].decode())
            start = token.end
    statements.append(text[start:].decode())
    return [statement.strip() for statement in statements if words(statement.encode())]


_OBJECT = re.compile(
    r"\A((?:\s|--[^\n]*\n)*(?:CREATE(?:\s+OR\s+REPLACE)?|ALTER|DROP)\s+(?:MATERIALIZED\s+VIEW|TABLE|VIEW)\s+"
    r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?\S+)",
    re.IGNORECASE,
)
_ENGINE = re.compile(r"^ENGINE\s*=\s*(\w*MergeTree)\b", re.MULTILINE)


def for_cluster(statement: str, cluster: str | None) -> str:
    """Return the statement with ``ON CLUSTER`` and Replicated engines, if there is a cluster."""
    if not cluster:
        return statement
    text = _OBJECT.sub(rf"\1 ON CLUSTER `{cluster}`", statement, count=1)
    text = _ENGINE.sub(r"ENGINE = Replicated\1", text)
    # a replicated table deduplicates through Keeper and does not know the local window
    return text.replace("non_replicated_deduplication_window", "replicated_deduplication_window")


def _run(client: Client, statement: str, what: str) -> None:
    try:
        with_retries(lambda: client.command(statement))
    except ClickHouseError as error:
        first = statement.strip().splitlines()[0][:100]
        raise MigrationError(
            f"{what} failed at «{first}»: {str(error).splitlines()[0]}; nothing was recorded, run "
            "`vol migrate` again when the cause is gone"
        ) from error

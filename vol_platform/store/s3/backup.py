"""The whole database to S3 by the engine's own BACKUP, and back.

The archive keeps raw rows, from which everything can be computed again; a backup brings everything
back at once, what was derived included.  The first backup of a week is full, the others hold what
changed since that one.  What is listed is what a small object says that is written last, so that a
backup that was interrupted does not exist; the engine checks every file when it restores.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from vol_platform.clock import Clock, utc_now
from vol_platform.errors import ArchiveError
from vol_platform.settings import Settings
from vol_platform.store.client import connect, with_retries
from vol_platform.store.s3.object_store import Bucket

__all__ = ["Backup", "backups", "forget_backups", "make_backup", "restore_backup"]

_VERSION = 1
_NAME_FORMAT = "%Y-%m-%dT%H%M%SZ"
_NAME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z\Z")
_DATABASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LOOK_SECONDS = 0.25
_DONE = {"BACKUP_CREATED", "RESTORED"}
_WORKING = {"CREATING_BACKUP", "RESTORING"}


@dataclass(frozen=True)
class Backup:
    """One backup.

    Attributes
    ----------
    database
        What was backed up.
    name
        Its time, such as ``2026-11-29T024000Z``.
    base
        Name of the full backup that this one completes; None is a full one.
    started_ts, finished_ts
        ISO 8601, UTC.
    files, bytes
        Of the database.
    stored_bytes
        Of these, what this backup itself holds.
    rows
        By table, counted when it began.
    """

    database: str
    name: str
    base: str | None
    started_ts: str
    finished_ts: str
    files: int
    bytes: int
    stored_bytes: int
    rows: dict[str, int]

    @property
    def started(self) -> datetime:
        """When it began."""
        return datetime.fromisoformat(self.started_ts)


def _folder(database: str) -> str:
    return f"{database}/backups/"


def _manifest_key(database: str, name: str) -> str:
    return f"{_folder(database)}{name}.json"


def backups(bucket: Bucket, database: str) -> list[Backup]:
    """Return the backups of a database, oldest first.

    Raises
    ------
    ArchiveError
        S3 refused, or an object is no manifest that this version understands.
    """
    found = []
    for key in bucket.keys(_folder(database)):
        if not key.removeprefix(_folder(database)).count("/") and key.endswith(".json"):
            loaded: Any = bucket.get_json(key)
            try:
                if loaded["version"] != _VERSION:
                    msg = f"{key} has version {loaded['version']}, this program reads {_VERSION}"
                    raise ArchiveError(msg)
                found.append(Backup(**{name: loaded[name] for name in Backup.__annotations__}))
            except (KeyError, TypeError) as error:
                raise ArchiveError(f"{key} is no manifest of a backup: {error!r}") from error
    return sorted(found, key=lambda one: one.name)


def make_backup(settings: Settings, *, clock: Clock = utc_now) -> Backup:
    """Back the database up; full for the first time in a week, else what changed since that one.

    Parameters
    ----------
    settings
        Which database; S3 as ClickHouse reaches it.
    clock
        Names the backup.

    Raises
    ------
    ArchiveError
        ClickHouse or S3 refused; then there is no such backup.
    """
    bucket = Bucket(settings.s3)
    bucket.ensure()
    database, started = settings.clickhouse.database, clock()
    name = started.strftime(_NAME_FORMAT)
    week = started.isocalendar()[:2]
    full = [
        one.name
        for one in backups(bucket, database)
        if one.base is None and one.started.isocalendar()[:2] == week
    ]
    base = full[-1] if full else None
    based = "base_backup = S3(%(base)s), " if base else ""
    with connect(settings) as client:
        rows = _rows(client, database)
        statement = (
            f"BACKUP DATABASE `{database}`{_on_cluster(settings)} "
            f"TO S3(%(url)s, %(key)s, %(secret)s) "
            f"SETTINGS {based}use_same_s3_credentials_for_base_backup = 1 ASYNC"
        )
        done = _wait(client, statement, _places(settings, database, name, base))
    backup = Backup(
        database=database,
        name=name,
        base=base,
        started_ts=started.isoformat(),
        finished_ts=clock().isoformat(),
        files=done["num_files"],
        bytes=done["total_size"],
        stored_bytes=done["compressed_size"],
        rows=rows,
    )
    bucket.put_json(_manifest_key(database, name), {"version": _VERSION, **asdict(backup)})
    return backup


def restore_backup(
    settings: Settings, name: str, *, into: str, database: str | None = None
) -> dict[str, tuple[int, int]]:
    """Restore a backup into a database that does not exist yet.

    Parameters
    ----------
    settings
        Where ClickHouse and S3 are.
    name
        Of the backup.
    into
        Name of the new database.
    database
        That was backed up; None is the configured one.

    Returns
    -------
    dict
        Rows when the backup began and rows now, by table.

    Raises
    ------
    ArchiveError
        There is no such backup, the database exists, or ClickHouse or S3 refused.
    """
    source = database or settings.clickhouse.database
    for given in (source, into):
        if _DATABASE.match(given) is None:
            raise ArchiveError(f"a database is named by letters, digits and _, was {given!r}")
    known = {one.name: one for one in backups(Bucket(settings.s3), source)}
    if name not in known:
        there = ", ".join(known) or "none"
        raise ArchiveError(f"there is no backup {name!r} of {source}; there are: {there}")
    with connect(settings, database="default") as client:
        if client.command("EXISTS DATABASE {name:Identifier}", parameters={"name": into}):
            raise ArchiveError(
                f"database {into} exists; restore into a new name, compare, then `RENAME DATABASE`"
            )
        create = f"CREATE DATABASE `{into}`{_on_cluster(settings)}"
        try:
            client.command(create)  # ours from here on: nobody else can have made it
        except ClickHouseError as error:
            raise ArchiveError(f"{create} failed: {str(error).splitlines()[0]}") from error
        statement = (
            f"RESTORE DATABASE `{source}` AS `{into}`{_on_cluster(settings)} "
            f"FROM S3(%(url)s, %(key)s, %(secret)s) "
            "SETTINGS use_same_s3_credentials_for_base_backup = 1, create_database = 0 ASYNC"
        )
        try:
            _wait(client, statement, _places(settings, source, name, None))
        except ArchiveError as failure:
            drop = f"DROP DATABASE `{into}`{_on_cluster(settings)} SYNC"
            try:
                client.command(drop)  # a half of it is worth nothing and bars the next try
            except ClickHouseError:
                message = f"{failure}; what is left bars the next try: {drop}"
                raise ArchiveError(message) from failure
            raise
        now = _rows(client, into)
    then = known[name].rows
    return {table: (then.get(table, 0), now.get(table, 0)) for table in sorted(then | now)}


def forget_backups(
    settings: Settings, *, clock: Clock = utc_now, told: Callable[[str], None] | None = None
) -> list[str]:
    """Delete full backups, each with all that complete it, when the youngest of them is too old.

    What an interrupted backup left goes at the same age.

    Parameters
    ----------
    settings
        Which database, where S3 is, and `s3.backup_weeks`.
    clock
        Now.
    told
        Called with the name of each backup before it goes.

    Returns
    -------
    list of str
        Names of what was deleted.
    """
    bucket, database = Bucket(settings.s3), settings.clickhouse.database
    before = clock() - timedelta(weeks=settings.s3.backup_weeks)
    folder = _folder(database)
    bases = {one.name: one.base for one in backups(bucket, database)}
    for key in bucket.keys(folder):  # and what interrupted ones left; what is not ours stays
        name = key.removeprefix(folder).split("/")[0].removesuffix(".json")
        if _NAME.match(name):
            bases.setdefault(name, None)
    families: dict[str, list[str]] = {}
    for name in sorted(bases):
        families.setdefault(bases[name] or name, []).append(name)
    gone = []
    for family in families.values():
        if max(map(_time_of, family)) >= before:
            continue
        for name in reversed(family):  # what needs another goes before it
            if told is not None:
                told(name)
            bucket.delete(_manifest_key(database, name))
            for key in list(bucket.keys(f"{folder}{name}/")):
                bucket.delete(key)
            gone.append(name)
    return gone


def _time_of(name: str) -> datetime:
    return datetime.strptime(name, _NAME_FORMAT).replace(tzinfo=UTC)


def _places(settings: Settings, database: str, name: str, base: str | None) -> dict[str, str]:
    """Return where on S3, and the keys: as literals, which the engine hides in its query log."""
    s3 = settings.s3
    root = f"{s3.endpoint.rstrip('/')}/{s3.bucket}/{_folder(database)}"
    return {
        "url": f"{root}{name}/",
        "key": s3.access_key.get_secret_value(),
        "secret": s3.secret_key.get_secret_value(),
        "base": f"{root}{base}/",
    }


def _on_cluster(settings: Settings) -> str:
    cluster = settings.clickhouse.cluster
    return f" ON CLUSTER `{cluster}`" if cluster else ""


def _rows(client: Client, database: str) -> dict[str, int]:
    found = client.query(
        "SELECT name, total_rows FROM system.tables WHERE database = {database:String} "
        "AND engine LIKE '%MergeTree' ORDER BY name",
        parameters={"database": database},
    ).result_rows
    return {str(name): int(rows or 0) for name, rows in found}


def _wait(client: Client, statement: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Run what the engine does in the background; return its row of ``system.backups``."""
    what = statement.split(" S3(", maxsplit=1)[0].rsplit(" ", 1)[0]
    try:
        answer = client.command(statement, parameters=parameters)
        job = str(answer[0] if isinstance(answer, list | tuple) else answer).split("\t")[0]
        while True:
            found = with_retries(lambda: _progress(client, job))
            if found is None:
                raise ArchiveError(f"{what}: the engine was restarted; there is no such backup")
            if found["status"] not in _WORKING:
                break
            time.sleep(_LOOK_SECONDS)
    except ClickHouseError as error:
        raise ArchiveError(f"{what} failed: {str(error).splitlines()[0]}") from error
    if found["status"] not in _DONE:
        raise ArchiveError(f"{what} failed: {str(found['error']).splitlines()[0]}")
    return found


def _progress(client: Client, job: str) -> dict[str, Any] | None:
    rows = client.query(
        "SELECT toString(status) AS status, error, num_files, total_size, compressed_size "
        "FROM system.backups WHERE id = {job:String}",
        parameters={"job": job},
    ).named_results()
    return next(iter(rows), None)

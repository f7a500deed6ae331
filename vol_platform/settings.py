"""One tree of settings: defaults, then `vol.yaml`, then `VOL_…` environment variables.

A nested value is reached with two underscores: ``VOL_CLICKHOUSE__PORT=8124``.  The file is
``./vol.yaml`` or what ``VOL_CONFIG`` names.  Secrets are `SecretStr`: no repr shows them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from vol_platform.errors import SettingsError

__all__ = [
    "ClickHouseSettings",
    "DagsterSettings",
    "ExchangeSettings",
    "LiveSettings",
    "QuoteSettings",
    "RecordSettings",
    "RedisSettings",
    "RetentionSettings",
    "S3Settings",
    "Settings",
    "TelegramSettings",
    "child_environment",
    "load_settings",
]


class _Section(BaseModel):
    """A part of the tree; an unknown key is an error, so that a typing slip is not silent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ClickHouseSettings(_Section):
    """Where ClickHouse is; the embedded store answers here too."""

    host: str = "127.0.0.1"
    port: int = Field(default=8123, ge=1, le=65535)
    user: str = "default"
    password: SecretStr = SecretStr("")
    database: str = Field(default="vol", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    secure: bool = False
    cluster: str | None = None
    """Name of the ClickHouse cluster; None is a single server."""
    connect_timeout_seconds: float = Field(default=10.0, gt=0)
    query_timeout_seconds: float = Field(default=300.0, gt=0)


class RedisSettings(_Section):
    """Where Redis is."""

    url: str = "redis://127.0.0.1:6379/0"


class S3Settings(_Section):
    """Where the archive is."""

    endpoint: str = "http://127.0.0.1:8333"
    bucket: str = "vol-archive"
    access_key: SecretStr = SecretStr("")
    secret_key: SecretStr = SecretStr("")
    region: str = "us-east-1"
    raw_frames_directory: Path | None = None
    """Folder of the streamer's hourly archive (`.tar` files); None archives rows alone."""
    backup_weeks: int = Field(default=4, ge=1)
    """Backups older than this go, a full one with all that complete it."""


class ExchangeSettings(_Section):
    """Which exchange is streamed."""

    name: Literal["simulator", "deribit"] = "simulator"
    websocket_url: str = "wss://streams.deribit.com/ws/api/v2"
    rest_url: str = "https://www.deribit.com/api/v2"


class QuoteSettings(_Section):
    """Which quotes count."""

    max_quote_age_seconds: float = Field(default=60.0, gt=0, le=3600)
    """A snapshot at T uses the newest quote per instrument with T - this < exchange_ts <= T."""
    settlement_window_seconds: float = Field(default=1800.0, ge=0)
    """An expiry this close to delivery leaves the surface (DESIGN §10)."""


class RecordSettings(_Section):
    """How the record is kept (DESIGN §5)."""

    start: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    """First hour that can be materialised; a whole hour, UTC."""
    automation_window_hours: int = Field(default=6, ge=1)
    """A closed hour this young is finalised by the automation condition, an older one by a run
    that the ingest sensor requests."""
    hours_per_run: int = Field(default=744, ge=1, le=8784)
    """A backfill puts this many hours into one run: a month."""
    processes: int = Field(default=2, ge=1, le=64)
    """Processes that share the days of a run; a run of one day takes one."""
    feed_stale_seconds: float = Field(default=60.0, gt=0)
    """A market without a quote for longer than this is a failed check and an alert."""
    run_retention_days: int = Field(default=30, ge=1)
    """Finished runs that are not the newest of any hour are forgotten after this."""

    @field_validator("start")
    @classmethod
    def _whole_hour(cls, value: datetime) -> datetime:
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        if value != value.replace(minute=0, second=0, microsecond=0):
            msg = "record.start must be a whole hour, UTC"
            raise ValueError(msg)
        return value


class LiveSettings(_Section):
    """How the live view runs (DESIGN §8)."""

    loop_milliseconds: float = Field(default=100.0, gt=0)
    store_interval_seconds: float = Field(default=5.0, gt=0)
    report_interval_seconds: float = Field(default=60.0, gt=0)


class RetentionSettings(_Section):
    """How long raw rows stay, counted from when we received them."""

    raw_days: int = Field(default=400, ge=1)
    cold_after_days: int = Field(default=30, ge=1)
    cold_volume: str | None = None
    """Volume of the storage policy that old raw parts move to; None keeps them where they are."""
    live_days: int = Field(default=2, ge=1)


class DagsterSettings(_Section):
    """Where Dagster's web page is."""

    host: str = "127.0.0.1"
    port: int = Field(default=3000, ge=1, le=65535)


class TelegramSettings(_Section):
    """The bot; without a token nothing is sent."""

    token: SecretStr = SecretStr("")
    chat_ids: tuple[int, ...] = ()
    base_url: str = "https://api.telegram.org/bot"


class Settings(BaseSettings):
    """Every setting of the platform."""

    model_config = SettingsConfigDict(
        env_prefix="VOL_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_directory: Path = Path(".vol")
    """Everything the local stack keeps: store, spool, Redis, Dagster home, logs."""
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    redis: RedisSettings = RedisSettings()
    s3: S3Settings = S3Settings()
    exchange: ExchangeSettings = ExchangeSettings()
    quotes: QuoteSettings = QuoteSettings()
    record: RecordSettings = RecordSettings()
    live: LiveSettings = LiveSettings()
    retention: RetentionSettings = RetentionSettings()
    dagster: DagsterSettings = DagsterSettings()
    telegram: TelegramSettings = TelegramSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the YAML file below the environment."""
        yaml_file = _configuration_file()
        yaml_settings = YamlConfigSettingsSource(settings_cls, yaml_file=yaml_file)
        return init_settings, env_settings, dotenv_settings, yaml_settings, file_secret_settings


def _configuration_file() -> Path:
    named = os.environ.get("VOL_CONFIG")  # noqa: TID251 - this is the settings seam
    if named is not None and not Path(named).is_file():
        msg = f"VOL_CONFIG names a file that does not exist: {named}; create it or unset VOL_CONFIG"
        raise SettingsError(msg)
    return Path(named or "vol.yaml")


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises
    ------
    SettingsError
        A value is missing, misspelt or out of range; the text names each with its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}, was {item.get('input')!r}"
            for item in error.errors(include_url=False)
        )
        msg = f"settings are wrong: {lines}; correct vol.yaml or the VOL_… environment variable"
        raise SettingsError(msg) from None


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with `changes`, for a child process."""
    return {**os.environ, **changes}  # noqa: TID251 - this is the settings seam

"""The collector's settings: defaults, then ``VOL_STREAMER_…`` environment variables, then flags.

A nested value is reached with two underscores: ``VOL_STREAMER_CLICKHOUSE__PORT=8124``.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from streamer.errors import SettingsError

__all__ = ["ClickHouseSettings", "SpoolSettings", "StreamerSettings", "load_settings"]

_HISTORY_URL = "https://history.deribit.com/api/v2"


def _default_collector() -> str:
    """Return the machine's name, made fit to stand in an identifier."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", platform.node()) or "collector"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClickHouseSettings(_Section):
    """Where ClickHouse is."""

    host: str = "127.0.0.1"
    port: int = Field(default=8123, ge=1, le=65535)
    user: str = "default"
    password: SecretStr = SecretStr("")
    database: str = Field(default="vol", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    secure: bool = False
    connect_timeout_seconds: float = Field(default=5.0, gt=0)
    query_timeout_seconds: float = Field(default=60.0, gt=0)


class SpoolSettings(_Section):
    """When a segment is rolled and how much disk is left alone."""

    roll_seconds: float = Field(default=0.75, gt=0)
    """The oldest message of a segment waits so long before it can be queried: a second at most."""
    roll_bytes: int = Field(default=8 * 1024**2, ge=1024)
    roll_messages: int = Field(default=2_500, ge=1)
    """At the real rate a second comes first; a burst is cut earlier, so that its rows are not
    queryable later than those of a quiet minute."""
    flush_milliseconds: float = Field(default=20.0, gt=0, le=50)
    """How often an old segment is rolled, and what the disk refused is tried again."""
    sync_milliseconds: float = Field(default=200.0, gt=0)
    """A loss of power loses at most this."""
    disk_floor_bytes: int = Field(default=2 * 1024**3, ge=0)
    when_full: Literal["keep_oldest", "keep_newest"] = "keep_oldest"
    """Below the floor: refuse new messages, or drop the oldest that wait; either is a gap row."""
    keep_done_segments: int = Field(default=60, ge=1)


class StreamerSettings(BaseSettings):
    """Every setting of the collector."""

    model_config = SettingsConfigDict(
        env_prefix="VOL_STREAMER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    websocket_url: str = Field(
        default="wss://streams.deribit.com/ws/api/v2", pattern=r"^wss?://[^\s]+$"
    )
    rest_url: str = Field(default="https://www.deribit.com/api/v2", pattern=r"^https?://[^\s]+$")
    history_url: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")
    """Who is asked for trades older than a day; empty: the history host of the real exchange, and
    of another exchange (the test one, a simulator) itself."""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    """With a key the collector logs in and may take the raw interval."""
    interval: str = Field(default="100ms", pattern=r"^(raw|100ms|agg2)$")
    currencies: tuple[str, ...] = ("BTC",)
    expiries: tuple[Annotated[str, Field(pattern=r"^(all|monthlies|next:[1-9]\d*)$")], ...] = (
        "all",
    )
    """Options of which expiries: all, monthlies, next:N; of several rules the union."""
    trades: bool = True
    """Also take trades of options and futures."""
    books: tuple[str, ...] = ()
    """Whose order books are taken: perpetual, front_future, at_the_money:N (of the N nearest
    expiries the two strikes around the index), or names such as BTC-PERPETUAL."""
    book_depth: Literal["full", "1", "10", "20"] = "full"
    """full: the whole book, as a snapshot and changes whose chain is followed; a number: the best
    levels, as full pictures."""
    mark_prices: bool = False
    """Also take the marks of all options of a market in one channel (markprice.options)."""
    perpetual_interest: bool = False
    """Also take the interest of perpetuals (perpetual.…)."""
    volatility_index: bool = True
    collector: str = Field(default_factory=_default_collector, pattern=r"^[A-Za-z0-9_]+$")
    spool_directory: Path = Path(".vol/spool")
    spool: SpoolSettings = SpoolSettings()
    archive_directory: Path | None = None
    """Where every received message is kept, compressed, in hourly files; unset: ``archive`` inside
    the spool directory."""
    archive_days: float = Field(default=2.0, ge=0)
    """How long the hourly files stay; 0 keeps no archive."""
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    redis_url: str = ""
    """Empty: nothing is published to Redis."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=0, ge=0, le=65535)
    """0: a free port, written to the log."""
    channels_per_subscribe: int = Field(default=200, ge=1, le=250)
    channels_per_connection: int = Field(default=500, ge=1)
    heartbeat_seconds: int = Field(default=10, ge=10)
    data_silence_seconds: float = Field(default=5.8, gt=0)
    """No data on a socket for so long: it is torn down.  A ticker is sent anew every 5.03 s."""
    channel_silence_seconds: float = Field(default=30.0, gt=0)
    """No data on one ticker or index for so long: a gap row, and it is subscribed anew."""
    first_data_seconds: float = Field(default=30.0, gt=0)
    """A channel without a first frame for so long is subscribed anew."""
    relist_seconds: float = Field(default=60.0, ge=10)
    """How often the instruments are listed again; the exchange allows one call in ten seconds."""
    hour_grace_seconds: float = Field(default=5.0, ge=0)
    """An hour is closed when the watermark is this far past its end."""
    drain_seconds: float = Field(default=3.0, ge=0)
    """How long a stop waits for the database to take what is sealed; the rest waits on disk."""
    backoff_seconds: float = Field(default=1.0, gt=0)
    backoff_limit_seconds: float = Field(default=30.0, gt=0)

    @property
    def trade_history_url(self) -> str:
        """Who is asked for trades older than a day."""
        is_real = self.rest_url.startswith("https://www.deribit.com/")
        return self.history_url or (_HISTORY_URL if is_real else self.rest_url)

    @property
    def archive_path(self) -> Path:
        """Where the hourly files are."""
        return self.archive_directory or self.spool_directory / "archive"

    @property
    def testnet(self) -> bool:
        """Whether the exchange is test.deribit.com, whose prices mean nothing."""
        return "//test.deribit.com" in self.websocket_url


def load_settings(**flags: Any) -> StreamerSettings:
    """Read the settings of this process; flags that are not None win.

    Raises
    ------
    SettingsError
        A value is misspelt or out of range; the text names each with its value.
    """
    try:
        return StreamerSettings(**{name: flag for name, flag in flags.items() if flag is not None})
    except ValidationError as error:
        lines = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}, was {item.get('input')!r}"
            for item in error.errors(include_url=False)
        )
        message = f"settings are wrong: {lines}; correct the VOL_STREAMER_… variable or the flag"
        raise SettingsError(message) from None

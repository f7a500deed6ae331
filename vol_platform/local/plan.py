"""Which parts make up the stack, on which ports, and how each is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from vol_platform.local import children
from vol_platform.local.layout import Layout
from vol_platform.local.options import Options
from vol_platform.local.parts import Part
from vol_platform.local.ports import HOST, PortChooser
from vol_platform.settings import Settings

__all__ = ["Plan", "make_plan"]

_SIMULATED_DATABASE = "vol_sim"


@dataclass(frozen=True)
class Plan:
    """The stack to be: its parts in start order and what users need to know of it."""

    settings: Settings
    """The settings of the running stack: real ports, database and addresses."""
    layout: Layout
    options: Options
    parts: list[Part]
    ports: dict[str, int]
    addresses: dict[str, str]
    notes: list[str]


def _explicit(section: BaseModel, name: str) -> int | None:
    """Return the value of `name` when the configuration sets it, None when it is the default."""
    return getattr(section, name) if name in section.model_fields_set else None


def _choose_ports(settings: Settings, options: Options) -> tuple[dict[str, int], list[str]]:
    chooser = PortChooser(options.port_offset)
    asked = options.ports
    redis_url = settings.redis.url if "url" in settings.redis.model_fields_set else None
    s3_endpoint = settings.s3.endpoint if "endpoint" in settings.s3.model_fields_set else None
    wanted = {
        # name: (what for, default, asked for, how to ask)
        "store": (
            "the store",
            8123,
            asked.get("store") or _explicit(settings.clickhouse, "port"),
            "--store-port or VOL_CLICKHOUSE__PORT",
        ),
        "redis": (
            "Redis",
            6379,
            asked.get("redis") or (redis_url and urlsplit(redis_url).port),
            "--redis-port or VOL_REDIS__URL",
        ),
        "streamer": ("the streamer's metrics", 9464, asked.get("streamer"), "--streamer-port"),
    }
    if options.exchange == "simulator":
        wanted["exchange"] = (
            "the simulated exchange",
            8500,
            asked.get("exchange"),
            "--exchange-port",
        )
    if options.with_dagster:
        wanted["dagster"] = (
            "Dagster's web page",
            3000,
            asked.get("dagster") or _explicit(settings.dagster, "port"),
            "--dagster-port or VOL_DAGSTER__PORT",
        )
        wanted["dagster-code"] = (
            "Dagster's code server",
            3030,
            asked.get("dagster-code"),
            "--dagster-code-port",
        )
    if options.with_s3:
        wanted["s3"] = (
            "S3",
            8333,
            asked.get("s3") or (s3_endpoint and urlsplit(s3_endpoint).port),
            "--s3-port or VOL_S3__ENDPOINT",
        )
        inner = ["s3-grpc", *(f"s3-{name}" for name in children.S3_INNER_PORTS)]
        inner += [f"s3-{name}-grpc" for name in children.S3_INNER_PORTS]
        for place, name in enumerate(inner):
            wanted[name] = ("the inside of the S3 server", 18340 + place, None, "--port-offset")
    # Ports that were asked for come first, so that no default takes one of them.
    order = sorted(wanted, key=lambda name: wanted[name][2] in (None, ""))
    ports = {}
    for name in order:
        what, default, explicit, option = wanted[name]
        ports[name] = chooser.choose(what, default, int(explicit) if explicit else None, option)
    return ports, chooser.notes


def _effective_settings(settings: Settings, options: Options, ports: dict[str, int]) -> Settings:
    """Return `settings` as the parts of this stack must see them."""
    clickhouse = {"host": HOST, "port": ports["store"]}
    if options.exchange == "simulator" and "database" not in settings.clickhouse.model_fields_set:
        clickhouse["database"] = _SIMULATED_DATABASE
    changes: dict[str, BaseModel | Path] = {
        "data_directory": settings.data_directory.resolve(),
        "clickhouse": settings.clickhouse.model_copy(update=clickhouse),
        "redis": settings.redis.model_copy(update={"url": f"redis://{HOST}:{ports['redis']}/0"}),
        "exchange": settings.exchange.model_copy(update={"name": options.exchange}),
    }
    if "dagster" in ports:
        changes["dagster"] = settings.dagster.model_copy(
            update={"host": HOST, "port": ports["dagster"]}
        )
    if "s3" in ports:
        changes["s3"] = settings.s3.model_copy(update={"endpoint": f"http://{HOST}:{ports['s3']}"})
    return settings.model_copy(update=changes)


def make_plan(settings: Settings, options: Options) -> Plan:
    """Choose ports and write down every part; creates the folders, starts nothing.

    Raises
    ------
    PortInUseError
        A port that was asked for is taken.
    LocalStackError
        The data directory cannot be written to.
    """
    ports, notes = _choose_ports(settings, options)
    effective = _effective_settings(settings, options, ports)
    layout = Layout(effective.data_directory, effective.clickhouse.database)
    layout.create()

    parts = [
        children.kernels(),
        children.store(effective, layout),
        children.migrations(effective),
    ]
    parts.append(children.redis(layout, ports["redis"]))
    if options.exchange == "simulator":
        websocket_url = f"ws://{HOST}:{ports['exchange']}/ws/api/v2"
        rest_url = f"http://{HOST}:{ports['exchange']}/api/v2"
        parts.append(
            children.simulated_exchange(ports["exchange"], options.seed, options.currencies)
        )
    else:
        websocket_url, rest_url = settings.exchange.websocket_url, settings.exchange.rest_url
    parts.append(
        children.streamer(
            children.streamer_environment(
                effective,
                websocket_url=websocket_url,
                rest_url=rest_url,
                spool=layout.spool,
                collector=f"local_{options.exchange}",
                currencies=options.currencies,
                metrics_port=ports["streamer"],
            ),
            ports["streamer"],
            simulated=options.exchange == "simulator",
        )
    )
    parts.append(children.live_view(effective))
    if options.exchange == "simulator" and options.history_hours > 0:
        parts.append(children.history(effective, layout, options))
    if options.with_s3:
        parts.append(children.s3(layout, ports))
    if options.with_dagster:
        parts += children.dagster(effective, layout, ports["dagster"], ports["dagster-code"])

    return Plan(
        settings=effective,
        layout=layout,
        options=options,
        parts=parts,
        ports=ports,
        addresses=_addresses(effective, ports, websocket_url),
        notes=notes,
    )


def _addresses(settings: Settings, ports: dict[str, int], websocket_url: str) -> dict[str, str]:
    """Return what a user may open or connect to, by name."""
    addresses = {}
    if "dagster" in ports:
        addresses["Dagster"] = f"http://{HOST}:{ports['dagster']}"
    addresses["ClickHouse (HTTP)"] = (
        f"http://{HOST}:{ports['store']}/?database={settings.clickhouse.database}"
    )
    addresses["Redis"] = settings.redis.url
    addresses["Metrics"] = f"http://{HOST}:{ports['streamer']}/metrics"
    addresses["Exchange"] = websocket_url
    if "s3" in ports:
        addresses["S3"] = settings.s3.endpoint
    return addresses

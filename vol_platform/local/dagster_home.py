"""Dagster's home for the local stack: SQLite storage, and a workspace of one shared code server."""

from __future__ import annotations

from pathlib import Path

import yaml

from vol_platform.local.ports import HOST

__all__ = ["write_dagster_home"]

_INSTANCE = {
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1},
    },
    "concurrency": {
        "pools": {"default_limit": 1, "granularity": "run"},
        "runs": {"max_concurrent_runs": 1},
    },
    "run_monitoring": {
        "enabled": True,
        "start_timeout_seconds": 180,
        "max_runtime_seconds": 7200,
    },
    "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
    "retention": {
        "sensor": {"purge_after_days": {"skipped": 1, "success": 7, "failure": 30}},
        "schedule": {"purge_after_days": 30},
        "auto_materialize": {"purge_after_days": 7},
    },
    "sensors": {"use_threads": True, "num_workers": 4},
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
}


def write_dagster_home(home: Path, code_port: int) -> Path:
    """Write ``dagster.yaml`` and the workspace file; returns the path of the latter."""
    (home / "dagster.yaml").write_text(yaml.safe_dump(_INSTANCE, sort_keys=False))
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

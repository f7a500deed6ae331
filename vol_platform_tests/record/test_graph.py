"""The whole graph: it loads, and nothing in it changes by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance.config import dagster_instance_config

from vol_platform.derivations.registry import REGISTRY
from vol_platform.local.dagster_home import write_dagster_home
from vol_platform.record.graph import build_definitions
from vol_platform.settings import Settings

GOLDEN = Path(__file__).with_name("graph.json")
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    """Give the definitions with default settings."""
    return build_definitions(Settings())


def picture(definitions: dg.Definitions) -> dict[str, Any]:
    """Describe what a user of the graph would notice changing."""
    graph = definitions.resolve_asset_graph()
    assets = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "depends_on": sorted(parent.to_user_string() for parent in node.parent_keys),
            "hourly": node.partitions_def is not None,
            "external": not node.is_materializable,
            "automated": node.automation_condition is not None,
            "pools": sorted(node.pools or ()),
            "stale_after_minutes": node.freshness_policy.fail_window.to_timedelta().total_seconds()
            / 60
            if node.freshness_policy
            else None,
            "columns": len(node.metadata["dagster/column_schema"].columns),
        }
    repository = definitions.get_repository_def()
    checks = {
        f"{key.asset_key.to_user_string()}/{key.name}": graph.get_check_spec(key).blocking
        for key in graph.asset_check_keys
    }
    return {
        "assets": dict(sorted(assets.items())),
        "checks_and_whether_they_block": dict(sorted(checks.items())),
        "jobs": sorted(job.name for job in repository.get_all_jobs() if job.name[0] != "_"),
        "schedules": {one.name: one.cron_schedule for one in repository.schedule_defs},
        "sensors": {
            one.name: [one.minimum_interval_seconds, one.default_status.value]
            for one in sorted(repository.sensor_defs, key=lambda one: one.name)
        },
    }


def test_the_definitions_load(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_graph_is_the_recorded_one(definitions: dg.Definitions) -> None:
    found = picture(definitions)
    recorded = json.loads(GOLDEN.read_text())
    for part, value in found.items():
        assert value == recorded[part], (
            f"{part} changed; if that is meant, write this to {GOLDEN.name}:\n"
            f"{json.dumps(found, indent=2)}"
        )


def test_every_asset_says_what_it_is(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        schema = node.metadata["dagster/column_schema"]
        described = [column for column in schema.columns if column.description]
        assert len(described) >= len(schema.columns) / 2, key


def test_every_derivation_is_an_asset_with_its_version(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for derivation in REGISTRY:
        asset = graph.get(dg.AssetKey(["record", derivation.name]))
        assert asset.code_version == derivation.code_version


def test_the_entry_point_builds_from_the_settings_of_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOL_RECORD__START", "2026-01-01T00:00:00Z")
    from vol_platform.definitions import definitions as entry_point

    built = entry_point()
    node = built.resolve_asset_graph().get(dg.AssetKey(["record", "surfaces"]))
    assert node.partitions_def is not None
    assert node.partitions_def.get_first_partition_key() == "2026-01-01-00:00"


@pytest.mark.parametrize("is_local", [False, True])
def test_the_instance_file_is_one_that_dagster_accepts(tmp_path: Path, is_local: bool) -> None:
    if is_local:
        write_dagster_home(tmp_path, 3030)
    else:
        file = REPOSITORY / "vol_platform" / "local" / "dagster.yaml"
        (tmp_path / "dagster.yaml").write_text(file.read_text())
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["telemetry"] == {"enabled": False}
    assert config["nux"] == {"enabled": False}
    assert config["retention"]["auto_materialize"] == {"purge_after_days": 1}
    assert config["concurrency"]["runs"]["max_concurrent_runs"] == (1 if is_local else 2)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.compute_log_manager).__name__ == "NoOpComputeLogManager"
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
    assert config["run_coordinator"]["config"]["dequeue_interval_seconds"] == 1

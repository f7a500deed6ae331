"""The committed dashboards are what the code builds, and keep the house's rules."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.build import DASHBOARDS, rendered
from deploy.grafana.clickhouse import DATASOURCE_TYPE, DATASOURCE_UID

PROVISIONING = DASHBOARDS.parent / "provisioning"
FILES = sorted(rendered())


def dashboard(name: str) -> dict[str, Any]:
    return json.loads((DASHBOARDS / name).read_text(encoding="utf-8"))


def panels(name: str) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def test_committed_files_are_what_the_code_builds():
    committed = {path.name: path.read_text(encoding="utf-8") for path in DASHBOARDS.glob("*.json")}
    assert committed == rendered(), "run `make dashboards` and commit the result"


@pytest.mark.parametrize("name", FILES)
def test_the_json_is_of_the_schema_the_sdk_knows(name):
    register_default_plugins()
    read = Dashboard.from_json(dashboard(name))
    assert read.uid == dashboard(name)["uid"]
    assert len(read.panels) == len(dashboard(name)["panels"])


@pytest.mark.parametrize("name", FILES)
def test_ids_and_titles_are_unique(name):
    every = dashboard(name)["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    assert len({panel["title"] for panel in every}) == len(every)


@pytest.mark.parametrize("name", FILES)
def test_no_panel_covers_another_or_leaves_the_page(name):
    places = [(panel["title"], panel["gridPos"]) for panel in dashboard(name)["panels"]]
    for title, place in places:
        assert place["x"] >= 0, title
        assert place["x"] + place["w"] <= 24, title
    for (one, a), (two, b) in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, f"{one} and {two} overlap"


@pytest.mark.parametrize("name", FILES)
def test_every_panel_has_a_unit_an_explanation_and_the_provisioned_datasource(name):
    source = {"type": DATASOURCE_TYPE, "uid": DATASOURCE_UID}
    for panel in panels(name):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"], panel["title"]
        assert panel["datasource"] == source
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(
            panel["targets"]
        )
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


@pytest.mark.parametrize("name", FILES)
def test_queries_use_declared_variables_and_take_the_time_from_the_picker(name):
    declared = {variable["name"] for variable in dashboard(name)["templating"]["list"]}
    for panel in panels(name):
        for target in panel["targets"]:
            sql = target["rawSql"]
            assert set(re.findall(r"\$\{(\w+)", sql)) <= declared, panel["title"]
            assert "$__timeFilter" in sql, panel["title"]
            assert target["format"] == {"timeseries": 0, "table": 1}[target["queryType"]]


@pytest.mark.parametrize("name", FILES)
def test_a_curve_names_the_frames_and_columns_of_its_queries(name):
    for panel in panels(name):
        if panel["type"] != "xychart":
            continue
        for series in panel["options"]["series"]:
            sql = panel["targets"][series["frame"]["matcher"]["options"]]["rawSql"]
            for axis in ("x", "y"):
                assert series[axis]["matcher"]["options"] in sql


def test_the_provisioned_datasource_is_the_one_the_panels_name():
    text = (PROVISIONING / "datasources" / "clickhouse.yaml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    assert (source["type"], source["uid"]) == (DATASOURCE_TYPE, DATASOURCE_UID)
    assert source["editable"] is False
    assert source["jsonData"]["protocol"] == "http"
    assert re.fullmatch(r"\$\{\w+\}", source["secureJsonData"]["password"]), "no secret in a file"


def test_dashboards_are_provisioned_from_files_that_nobody_edits_in_a_browser():
    text = (PROVISIONING / "dashboards" / "surface.yaml").read_text(encoding="utf-8")
    (provider,) = yaml.safe_load(text)["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False


def test_compose_puts_the_files_where_they_are_looked_for_and_sets_every_variable():
    compose = yaml.safe_load((DASHBOARDS.parent.parent / "compose.yaml").read_text("utf-8"))
    grafana = compose["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    text = (PROVISIONING / "dashboards" / "surface.yaml").read_text(encoding="utf-8")
    assert mounts["./grafana/dashboards"] == yaml.safe_load(text)["providers"][0]["options"]["path"]
    source = (PROVISIONING / "datasources" / "clickhouse.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(\w+)\}", source)) <= set(grafana["environment"])

"""The deployment files without a container engine: they parse, and every name in them exists."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def users() -> ET.Element:
    return ET.parse(DEPLOY / "clickhouse/users.d/vol.xml").getroot()  # noqa: S314 - our own file


def migrated_tables() -> set[str]:
    names: set[str] = set()
    for migration in (REPOSITORY / "dbt_like_sql/migrations").glob("*.sql"):
        names |= set(
            re.findall(
                r"CREATE (?:TABLE|MATERIALIZED VIEW|VIEW) IF NOT EXISTS (\w+)",
                migration.read_text(),
            )
        )
    return names


def test_every_file_the_image_copies_exists() -> None:
    copied = [
        shlex.split(line)[1:-1]
        for line in (DEPLOY / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from=" not in line
    ]
    assert len(copied) >= 6
    for sources in copied:
        for source in sources:
            assert (REPOSITORY / source).exists(), source


def test_the_image_runs_as_an_ordinary_user_on_pinned_dependencies() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last_stage = text.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER (?!0\b|root)", last_stage, re.MULTILINE)
    assert "--require-hashes -r requirements/deploy.txt" in text
    assert not re.search(r"^FROM \S+(:latest)?$", text, re.MULTILINE) or ":latest" not in text


def test_the_deploy_lock_has_postgres_and_not_the_embedded_engines() -> None:
    lock = (REPOSITORY / "requirements/deploy.txt").read_text()
    assert "\ndagster-postgres==" in lock
    assert "\nchdb" not in lock
    assert "--hash=sha256:" in lock


@pytest.mark.parametrize("name", ["runtime", "dev", "deploy"])
def test_a_lock_names_no_address(name: str) -> None:
    lock = (REPOSITORY / f"requirements/{name}.txt").read_text()
    assert "index-url" not in lock
    assert "://" not in lock


def test_the_runtime_lock_is_a_part_of_the_dev_lock() -> None:
    pins = {
        name: set(
            re.findall(
                r"^[a-z0-9-]+==\S+",
                (REPOSITORY / f"requirements/{name}.txt").read_text(),
                re.MULTILINE,
            )
        )
        for name in ("runtime", "dev")
    }
    assert pins["runtime"] - pins["dev"] == set()


def test_every_command_of_the_compose_file_is_a_module_that_exists(compose: dict[str, Any]) -> None:
    ours = [part for part in compose["services"].values() if part.get("image") == "vol-platform"]
    modules = {part["command"][0] for part in ours}
    assert {"streamer.main", "vol_platform.live", "dagster", "vol_platform.cli.main"} <= modules
    for module in modules:
        assert find_spec(module) is not None, module


def test_every_mounted_file_exists_and_every_volume_is_declared(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), (name, source)
            else:
                assert source in compose["volumes"], (name, source)


def test_ports_are_published_on_the_loopback_address_only(compose: dict[str, Any]) -> None:
    published = [port for part in compose["services"].values() for port in part.get("ports", [])]
    assert len(published) >= 5
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_images_have_versions(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        image = service["image"]
        assert image == "vol-platform" or re.search(r":\d", image), (name, image)


def test_no_password_is_written_down_and_all_are_asked_for(compose: dict[str, Any]) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / "env.example").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert asked <= set(example)
    assert set(example.values()) == {""}
    for service in compose["services"].values():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable or "SECRET" in variable or "TOKEN" in variable:
                assert str(value).startswith("${"), variable


def test_dependencies_are_services_and_there_is_one_dagster_daemon(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", [])) <= set(services), name
    daemons = [part for part in services.values() if "dagster._daemon" in part.get("command", [])]
    assert len(daemons) == 1


def test_the_users_of_the_compose_file_are_the_users_of_clickhouse(
    compose: dict[str, Any], users: ET.Element
) -> None:
    section = users.find("users")
    assert section is not None
    known = {user.tag for user in section}
    environments = [part.get("environment", {}) for part in compose["services"].values()]
    used = {
        environment[name]
        for environment in environments
        for name in ("VOL_CLICKHOUSE__USER", "VOL_STREAMER_CLICKHOUSE__USER")
        if name in environment
    }
    assert used == {"migrate", "ingest", "dagster", "live", "grafana"}
    assert used < known
    given = set(compose["services"]["clickhouse"]["environment"])
    for user in section:
        password = user.find("password")
        if password is not None:
            assert password.get("from_env") in given, user.tag


def test_every_granted_table_exists(users: ET.Element) -> None:
    granted = [
        name
        for query in users.iter("query")
        for name in re.findall(r"ON vol\.(\w+)", query.text or "")
    ]
    assert len(granted) >= 10
    assert set(granted) <= migrated_tables()


def test_readers_may_not_write_and_the_streamer_may_not_change_tables(
    users: ET.Element,
) -> None:
    grants = {
        user.tag: " ".join(query.text or "" for query in user.iter("query"))
        for user in users.findall("users/*")
    }
    for reader in ("grafana", "analyst"):
        assert not re.search(r"INSERT|ALTER|DROP|CREATE|TRUNCATE", grants[reader])
    assert not re.search(r"ALTER|DROP|CREATE|TRUNCATE", grants["ingest"])
    assert not re.search(r"ALTER|DROP|CREATE|TRUNCATE", grants["live"])


def test_the_image_keeps_dagsters_runs_in_postgres(compose: dict[str, Any]) -> None:
    files = (REPOSITORY / "vol_platform/local/dagster.yaml", DEPLOY / "dagster/postgres.yaml")
    parts = [file.read_text() for file in files]
    copied = re.findall(r"^COPY (\S+\.yaml) ", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert {str(file.relative_to(REPOSITORY)) for file in files} <= set(copied)
    alone, added, together = (yaml.safe_load(text) for text in (*parts, "".join(parts)))
    assert together == alone | added
    assert set(alone).isdisjoint(added)
    database = together["storage"]["postgres"]["postgres_db"]
    assert database["scheme"] == "postgresql+psycopg2"
    given = compose["services"]["dagster-daemon"]["environment"]
    for field in ("hostname", "username", "password", "db_name"):
        assert database[field]["env"] in given

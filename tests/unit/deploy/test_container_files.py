"""Dockerfile and compose file: what a linter and the published schema say of them, and what they promise."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, load_settings

CHECKOUT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent


def passes(*command: str | Path) -> None:
    run = subprocess.run([*command], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    return found


def test_the_dockerfile_is_clean() -> None:
    passes(BIN / "hadolint", "Dockerfile")


def test_the_compose_file_follows_the_compose_specification() -> None:
    passes(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def ours(services: dict[str, Any]) -> dict[str, Any]:
    """Services of images that are built here."""
    return {name: service for name, service in services.items() if "build" in service}


def test_every_service_builds_a_target_that_exists_or_names_a_version(services: dict[str, Any]) -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    for service in ours(services).values():
        assert f" AS {service['build']['target']}\n" in dockerfile
    others = {name: service["image"] for name, service in services.items() if name not in ours(services)}
    assert set(others) == {"postgres", "prometheus", "grafana"}
    assert all(re.fullmatch(r"[\w/]+:v?\d+\.\d+(\.\d+)?", image) for image in others.values())


def test_labels_carry_the_projects_version() -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    found = re.findall(r"^ARG VERSION=(\S+)", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert found == [version, version]


def test_servers_start_with_settings_that_exist_and_have_time_to_drain(services: dict[str, Any]) -> None:
    for name in ("latentd", "latentd-gpu"):
        settings = load_settings({}, services[name]["environment"])
        assert settings.log_format == "json"
        grace = float(services[name]["stop_grace_period"].removesuffix("s"))
        assert grace >= Settings().drain_notice_seconds + Settings().drain_seconds + 5


def test_a_worker_runs_the_jobs_that_the_servers_leave(services: dict[str, Any]) -> None:
    assert set(services["worker"]["volumes"]) == {"models:/data/models", "state:/data/state"}
    assert services["worker"]["environment"]["LATENTD_JOB_RUNNER"] == "${LATENTD_JOB_RUNNER:-local}"
    for name in ("latentd", "latentd-gpu"):
        assert load_settings({}, services[name]["environment"]).job_slots == 0
        assert "state:/data/state" in services[name]["volumes"]


def test_the_nodes_of_a_cluster_see_what_the_worker_sees_and_ask_for_a_token(services: dict[str, Any]) -> None:
    assert set(services["ray-node"]["volumes"]) == set(services["worker"]["volumes"])
    environment = services["worker"]["environment"]
    settings = load_settings({"job_runner": "ray"}, {"LATENTD_RAY_ADDRESS": environment["LATENTD_RAY_ADDRESS"]})
    assert settings.ray_address == "http://ray-head:8265"
    for name in ("ray-head", "ray-node"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert services[name]["environment"]["RAY_AUTH_TOKEN_PATH"] == f"/run/secrets/{services[name]['secrets'][0]}"


def test_one_of_two_servers_is_started_by_default_under_one_name(services: dict[str, Any]) -> None:
    assert {name: service["profiles"] for name, service in services.items() if "profiles" in service} == {
        "latentd": ["cpu"],
        "latentd-gpu": ["gpu"],
        "postgres": ["postgres"],
        "ray-head": ["ray"],
        "ray-node": ["ray"],
    }
    assert services["latentd-gpu"]["networks"]["default"]["aliases"] == ["latentd"]
    assert re.search(r"^COMPOSE_PROFILES=cpu\b", (CHECKOUT / ".env").read_text(), re.MULTILINE)
    scrape = yaml.safe_load((CHECKOUT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scrape["static_configs"][0]["targets"] == [f"latentd:{Settings().http_port}"]


def test_no_file_holds_a_secret() -> None:
    for file in ("docker-compose.yml", ".env", "Dockerfile"):
        assert not re.search(r"lk_[0-9a-f]{8}_|(?i:password|secret)\s*[:=]\s*\S", (CHECKOUT / file).read_text())


def test_every_mounted_file_exists(services: dict[str, Any]) -> None:
    mounted = [
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume.startswith(".")
    ]
    assert len(mounted) == 3
    assert [path for path in mounted if not (CHECKOUT / path).is_dir()] == []


def test_services_are_read_only_without_capabilities_and_published_on_loopback(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_commands_of_the_compose_file_are_commands_of_latentd(services: dict[str, Any]) -> None:
    """Each is accepted by the command line's own parser as far as --help; those of Ray's nodes are Ray's."""
    for service in ours(services).values():
        if "command" in service and "entrypoint" not in service:
            passes(BIN / "latentd", *service["command"], "--help")


def test_the_requirements_of_an_image_are_those_of_the_project() -> None:
    printed = subprocess.run(
        [sys.executable, "scripts/requirements", "cpu", "trainer"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert printed == project["dependencies"] + extras["cpu"] + extras["trainer"]

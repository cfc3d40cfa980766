"""Dockerfile and compose file: what a linter and the published schema say of them, and what they promise."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def test_every_service_builds_a_target_that_exists(services: dict[str, Any]) -> None:
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    for service in services.values():
        assert f" AS {service['build']['target']}\n" in dockerfile


def test_services_are_read_only_without_capabilities_and_published_on_loopback(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_commands_of_the_compose_file_are_commands_of_latentd(services: dict[str, Any]) -> None:
    """Each is accepted by the command line's own parser as far as --help."""
    for service in services.values():
        if "command" in service:
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

"""Prometheus reads its configuration and rules, and every alert fires, clears, and has a paragraph of its own."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kit.deployed_queries import DEPLOY, RULES, alerts

SCENARIOS = DEPLOY / "prometheus" / "tests" / "alerts.test.yml"


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    return found


def passes(*command: str | Path) -> None:
    run = subprocess.run([*command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_prometheus_takes_its_configuration(promtool: str) -> None:
    passes(promtool, "check", "config", "--syntax-only", "prometheus.yml")


def test_prometheus_takes_the_rules(promtool: str) -> None:
    passes(promtool, "check", "rules", *RULES)


def test_the_scenarios_end_as_they_say(promtool: str) -> None:
    passes(promtool, "test", "rules", SCENARIOS)


def firing(scenario: dict[str, Any]) -> list[set[str]]:
    """Names of the alerts that fire at each time that a scenario looks."""
    looks = sorted(scenario["promql_expr_test"], key=lambda look: int(look["eval_time"].removesuffix("m")))
    return [
        {name for sample in look["exp_samples"] for name in re.findall(r'alertname="(\w+)"', sample["labels"])}
        for look in looks
    ]


def test_every_alert_has_a_scenario_in_which_it_fires_and_clears() -> None:
    scenarios = yaml.safe_load(SCENARIOS.read_text())["tests"]
    missing = {alert["alert"] for alert in alerts()}
    assert len(missing) >= 13
    for scenario in scenarios:
        looks = firing(scenario)
        assert looks[0] == looks[-1] == set(), f"{scenario['name']} begins or ends with an alert firing"
        missing -= set().union(*looks)
    assert missing == set()


def test_every_alert_has_a_severity_a_summary_and_a_paragraph_in_the_runbook() -> None:
    sections = re.findall(r"^## (\w+)\n(.+?)(?=\n## |\Z)", (DEPLOY / "RUNBOOK.md").read_text(), re.M | re.S)
    assert [name for name, _ in sections] == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["runbook"] == f"RUNBOOK.md#{alert['alert'].lower()}"
    assert [name for name, text in sections if len(text) < 150] == []

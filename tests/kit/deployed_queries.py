"""Every PromQL expression of `deploy/`: those of the dashboards and those of the rules."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))


@dataclass(frozen=True)
class DeployedQuery:
    """An expression with Grafana's variables filled in.

    Attributes:
        where: the dashboard and panel, or the rule.
        legend: how its series are called, with ``{{label}}``.
    """

    where: str
    expr: str
    legend: str = ""


def rules() -> list[dict[str, Any]]:
    """Every recording and alerting rule."""
    return [rule for file in RULES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule."""
    return [rule for rule in rules() if "alert" in rule]


def dashboard_queries() -> list[DeployedQuery]:
    """Panels and variables of every dashboard; a variable's `label_values` as the count that asks the same."""
    found = []
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            found += [
                DeployedQuery(f"{file.stem}: {panel['title']}", _filled(target["expr"]), target["legendFormat"])
                for target in panel.get("targets", [])
            ]
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                assert asked, f"{file.stem}: {variable['query']['query']} is no label_values(metric, label)"
                expr = f"count by ({asked[2]}) ({_filled(asked[1])})"
                found.append(DeployedQuery(f"{file.stem}: ${variable['name']}", expr))
    return found


def rule_queries() -> list[DeployedQuery]:
    """The expression of every rule."""
    return [DeployedQuery(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]


def _filled(expr: str) -> str:
    for variable, value in (("$__rate_interval", "1m"), ("$job", ".*"), ("$instance", ".*")):
        expr = expr.replace(variable, value)
    assert "$" not in expr, f"{expr} has a variable that no dashboard declares"
    return expr

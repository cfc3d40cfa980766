"""Dashboards and alerts name metrics and labels that a real server has."""

import re

import httpx
import promql_parser
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from service.jobs.records import ID_PREFIXES
from service.jobs.states import ON_WIRE
from service.metrics import DISPATCH_REASONS, REJECT_REASONS, STAGES, Metrics
from tests.kit.deployed_queries import DeployedQuery, dashboard_queries, rule_queries, rules
from tests.kit.server import ServerProcess

TARGET = {"job", "instance", "namespace"}  # Prometheus itself puts them on every series
FROM_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate"}}
CLOSED: dict[str, set[str]] = {
    "stage": set(STAGES),
    "reason": {*DISPATCH_REASONS, *REJECT_REASONS},
    "state": {"ready", "refused", "used"},
    "kind": set(ID_PREFIXES),
    "status": set(ON_WIRE.values()),
}
QUERIES = dashboard_queries() + rule_queries()


@pytest.fixture(scope="module")
def known(server: ServerProcess) -> dict[str, set[str]]:
    """Labels of every series that the server exposes after some requests, and of the recorded ones."""
    assert httpx.post(f"{server.http}/v1/samples", json={"n": 2}).status_code == 200
    assert httpx.post(f"{server.http}/v1/samples", json={"n": 0}).status_code == 400
    labels: dict[str, set[str]] = {name: set(found) for name, found in FROM_PROMETHEUS.items()}
    for family in text_string_to_metric_families(httpx.get(f"{server.http}/metrics").text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
        if not family.samples:  # a GPU is not everywhere
            labels[family.name] = declared(family.name)
    return labels | {rule["record"]: set() for rule in rules() if "record" in rule}


def declared(name: str) -> set[str]:
    """Labels that `service.metrics` declares for a metric that has no series yet."""
    found = [metric for metric in vars(Metrics(CollectorRegistry())).values() if getattr(metric, "_name", "") == name]
    return set(found[0]._labelnames)


def parts(query: DeployedQuery) -> tuple[list[promql_parser.VectorSelector], set[str]]:
    """The selectors of an expression, and the labels that it groups or joins by."""
    selectors: list[promql_parser.VectorSelector] = []
    grouped: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append(node)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None:
            grouped.update(node.modifier.matching.labels if node.modifier.matching else [])

    promql_parser.walk(promql_parser.parse(query.expr), visit)
    return selectors, grouped


@pytest.mark.parametrize("query", QUERIES, ids=[query.where for query in QUERIES])
def test_metrics_and_labels_exist(query: DeployedQuery, known: dict[str, set[str]]) -> None:
    selectors, grouped = parts(query)
    assert selectors
    there = set(TARGET)
    for selector in selectors:
        assert selector.name in known, f"{query.where}: no metric {selector.name}"
        own = known[selector.name] | TARGET
        there |= own
        for matcher in selector.matchers.matchers:
            assert matcher.name in own, f"{query.where}: {selector.name} has no label {matcher.name}"
            if matcher.op == promql_parser.MatchOp.Equal and matcher.name in CLOSED:
                assert matcher.value in CLOSED[matcher.name], f"{query.where}: {matcher}"
    assert grouped <= there, query.where
    assert set(re.findall(r"{{(\w+)}}", query.legend)) <= (grouped or there), query.where


def test_a_wrong_name_would_be_found(known: dict[str, set[str]]) -> None:
    for expr in ("sum(rate(latentd_request_total[5m]))", 'latentd_rejected_total{why="x"}', "up{} + on (pod) up"):
        with pytest.raises(AssertionError):
            test_metrics_and_labels_exist(DeployedQuery("test", expr), known)

"""Whether a Prometheus has data for every dashboard and rule: ``python -m tests.kit.prometheus_check URL``.

For a set-up that has had a load and a fine-tuning lately; without them much is rightly empty.
"""

import sys
from typing import Any

import httpx
import promql_parser

from tests.kit.deployed_queries import dashboard_queries, rule_queries, rules

NEEDS_A_GPU = "latentd_gpu_"


def ask(address: str, expr: str) -> list[Any]:
    """The result of an instant query.

    Raises:
        AssertionError: Prometheus does not take the expression.
    """
    answer = httpx.get(f"{address}/api/v1/query", params={"query": expr}).json()
    assert answer["status"] == "success", f"{expr}: {answer.get('error')}"
    found: list[Any] = answer["data"]["result"]
    return found


def without_data(address: str) -> list[str]:
    """Panels and variables, recorded series, and series that rules select, of which there are none.

    An alert's own expression is empty while all is well: each of its selectors must find something instead.
    """
    empty = [query.where for query in dashboard_queries() if _expected(query.expr) and not ask(address, query.expr)]
    empty += [rule["record"] for rule in rules() if "record" in rule and not ask(address, rule["record"])]
    for query in rule_queries():
        ask(address, query.expr)
        empty += [
            f"{query.where}: {selector}"
            for selector in selectors(query.expr)
            if _expected(selector) and not ask(address, selector)
        ]
    return empty


def selectors(expr: str) -> list[str]:
    """What an expression selects; without the codes of failures, of which there are none in a healthy set-up."""
    found: list[str] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            kept = [matcher for matcher in node.matchers.matchers if matcher.name != "code"]
            found.append(f"{node.name}{{{','.join(map(str, kept))}}}")

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


def _expected(expr: str) -> bool:
    return NEEDS_A_GPU not in expr


def main(address: str) -> None:
    """Print what is empty; exit code 1 if anything is."""
    empty = without_data(address)
    checked = len(dashboard_queries()) + len(rule_queries())
    print("\n".join([*empty, f"{checked} expressions, {len(empty)} without data"]))
    sys.exit(bool(empty))


if __name__ == "__main__":
    main(sys.argv[1])

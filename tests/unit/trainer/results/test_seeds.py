"""The study of seeds: medians stand beside their targets."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from tests.unit.trainer.results.numbers import GENERATED, REAL
from trainer.results.seeds import COLUMNS, Row, render


def measured(accuracy: float, frechet: float) -> Any:
    """As in the table, with these two numbers."""
    return replace(
        GENERATED,
        likeness=replace(GENERATED.likeness, frechet=frechet),
        classes=replace(GENERATED.classes, accuracy=accuracy),
    )


def test_medians_are_marked_against_their_targets() -> None:
    rows = [
        Row(5, 0, 300_000, 300.0, "", measured(0.995, 3.0)),
        Row(5, 1, 300_000, 300.0, "", measured(0.992, 3.2)),
        Row(5, 2, 300_000, 300.0, "", measured(0.950, 9.0)),
        Row(2, 0, 0, 0.0, "collapsed 2 times", None),
    ]
    yardstick: Any = SimpleNamespace(samples=5_000, data=SimpleNamespace(train=range(60_000)), real=REAL)
    lines = render("mnist", yardstick, {"cgan": rows}).splitlines()
    assert (
        "| 5 | **median** | | **99.20%** ✓ | **3.2** | **1.60** ✓ | **0.600** ✗ | **0.700** | **96.40%** ✗ "
        "| **3.1%** ✗ |"
    ) in lines
    assert "| 5 | *target* | | ≥ 99.00% |  | ≤ 2.00 | ≥ 0.950 |  | ≥ 97.50% | ≤ 3.0% |" in lines
    assert "| 5 | 2 | 1,000 | 95.00% | 9 | 4.50 | 0.600 | 0.700 | 96.40% | 3.1% |" in lines
    assert {line.count("|") for line in lines if line.startswith("|")} == {4 + len(COLUMNS)}


def test_a_budget_without_targets_has_no_mark() -> None:
    column = COLUMNS[0]
    assert column.met(3, 0.1) is None
    assert column.met(2, 0.985) is True
    assert column.met(2, 0.984) is False

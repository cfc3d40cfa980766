"""The report: whole, self-contained, and true to the results."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from trainer.search.axes import axis
from trainer.search.confirmation import Confirmation
from trainer.search.plots import history, importances, slices
from trainer.search.report import render
from trainer.search.results import SearchResults, TrialResult

RATE, KIND = "generator_optimizer.learning_rate", "objective.kind"


def trial(number: int, state: str, value: float | None, verdict: str = "") -> TrialResult:
    """One trial of two fields."""
    parameters = {RATE: 1e-4 * (number + 1), KIND: "hinge" if number % 2 else "non-saturating"}
    return TrialResult(number, state, value, verdict, parameters, {})


RESULTS = SearchResults(
    config={"recipe": "digits-cgan", "objective": "frechet", "space": {RATE: {"low": 1e-4}, KIND: ["hinge", "x"]}},
    direction="minimize",
    real=1.4,
    best=2,
    defaults={RATE: 1e-4, KIND: "non-saturating"},
    log_scaled=[RATE],
    trials=[
        trial(0, "complete", 3.0),
        trial(1, "pruned", 40.0),
        trial(2, "complete", 2.0),
        trial(3, "fail", None, "killed <by> SIGKILL"),
        trial(4, "running", None),
    ],
    importances={KIND: 0.75, RATE: 0.25},
)


def figures(page: str) -> list[ElementTree.Element]:
    """Every SVG of a page, parsed."""
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]  # noqa: S314


def test_every_trial_that_ended_is_marked_once_in_the_history() -> None:
    (figure,) = figures(history(RESULTS))
    kinds = [each.get("class") for each in figure if each.find("title") is not None]
    assert kinds == ["complete", "pruned", "failed", "chosen"]  # the best lies on top
    titles = [each.findtext("title", "") for each in figure if each.find("title") is not None]
    assert "killed <by> SIGKILL" in titles[2]
    assert titles[3].startswith("trial 2: complete, 2\n")


def test_better_values_lie_lower_where_less_is_better() -> None:
    (figure,) = figures(history(RESULTS))
    heights = {each.get("class"): float(each.get("cy", "0")) for each in figure if each.tag == "circle"}
    assert heights["pruned"] < heights["complete"] < heights["chosen"]


def test_bars_are_as_long_as_shares() -> None:
    (figure,) = figures(importances(RESULTS))
    long, short = (float(each.get("width", "0")) for each in figure if each.tag == "rect")
    assert long == pytest.approx(3 * short, rel=0.01)
    assert importances(replace(RESULTS, importances={})) == ""


def test_fields_come_in_the_order_of_their_importance() -> None:
    first, second = (figure.get("aria-label") for figure in figures("".join(slices(RESULTS))))
    assert (first, second) == (f"{KIND} against frechet", f"{RATE} against frechet")


def test_a_page_needs_nothing_else_and_escapes_what_it_shows() -> None:
    assert "4 trials: 2 complete, 1 stopped early, 1 failed." in render(RESULTS)
    page = render(replace(RESULTS, confirmation=Confirmation(2, (3.0, 3.2), (2.0, 2.2)), package="digits-cgan@3"))
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)
    assert "killed &lt;by&gt; SIGKILL" in page
    assert "<by>" not in page
    assert "Published as <b>digits-cgan@3</b>" in page
    assert "2.1" in page
    assert len(figures(page)) == 4


def test_a_search_that_has_just_begun_has_a_page() -> None:
    page = render(replace(RESULTS, best=None, trials=[trial(0, "running", None)], importances={}))
    assert "No trial has ended yet." in page


def test_results_are_json() -> None:
    content = json.loads(RESULTS.to_json())
    assert content["trials"][2]["value"] == 2.0
    assert content["confirmation"] is None


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1e-4, 1e-2, True), (2.0, 2.5, True), (0.0, 1.0, False), (3.0, 3.0, True)]
)
def test_ticks_are_round_and_on_the_axis(low: float, high: float, log: bool) -> None:
    found = axis([low, high], 0, 100, log=log)
    assert 3 <= len(found.ticks) <= 9
    assert all(found.low <= tick <= found.high for tick in found.ticks)
    assert found.place(found.low) == pytest.approx(0)
    assert found.place(found.high * 1e9) == pytest.approx(100)

"""The study of learning rates: a tiny grid from end to end and taken up again; sentences that follow from numbers."""

import json
from pathlib import Path

import pytest

from trainer.data import DataConfig, DataSplit, open_data
from trainer.evaluation.judge import Judge, JudgeNetwork
from trainer.results.learning_rates.findings import Result
from trainer.results.learning_rates.runs import OPTIMIZERS, Bench, Outcome, Run, Setting
from trainer.results.learning_rates.study import Plan, section
from trainer.results.learning_rates.tables import Frame, render

TINY = Plan(steps=24, samples=100, rates=1, optimizers=("Adam", "FR"))


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    return open_data(DataConfig())


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(JudgeNetwork(1, 8, 8, 10))


def test_the_published_grid_is_as_wide_for_every_optimizer() -> None:
    plan = Plan()
    assert len(plan.runs) == len(set(plan.runs)) == 9 * 2 * 25
    for optimizer in OPTIMIZERS:
        rates = plan.rates_of(optimizer)
        assert rates[-1] / rates[0] == pytest.approx(81, rel=0.02)


def test_a_run_is_the_recipe_with_other_optimizers() -> None:
    recipe = Run(Setting("DY", 0.0), 0.1, 0.2).recipe
    assert recipe.generator_optimizer.model_dump() == {
        "kind": "conjugate-gradient", "learning_rate": 0.1, "rule": "DY", "beta_max": 0.5,
    }  # fmt: skip
    assert recipe.discriminator_optimizer.learning_rate == 0.2
    assert recipe.objective.kind == "non-saturating"
    assert Run(Setting("Adam", 0.1), 0.1, 0.2).recipe.objective.kind == "gat"


def test_a_grid_is_run_once_and_taken_up_again(tmp_path: Path, digits: DataSplit, judge: Judge) -> None:
    text = section(digits, judge, tmp_path, TINY, workers=1)
    path = tmp_path / "learning-rates" / "runs.jsonl"
    lines = [line for line in path.read_text().splitlines() if line]
    assert len(lines) == len(TINY.runs) == 4
    assert all(json.loads(line)["outcome"]["steps"] > 0 for line in lines)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[:2] for row in table[2:]] == [
        ["| Adam", "0"], ["| Adam", "0.1"], ["| FR", "0"], ["| FR", "0.1"],
    ]  # fmt: skip
    assert len({row.count("|") for row in table}) == 1

    path.write_text("\n".join([*lines[:3], lines[3][:40]]))  # ended in the middle of a line
    assert section(digits, judge, tmp_path, TINY, workers=1) == text
    assert len([line for line in path.read_text().splitlines() if line]) == 5


def test_a_run_that_diverges_has_no_distance(digits: DataSplit, judge: Judge) -> None:
    outcome = Bench(digits, judge, samples=20).run(Run(Setting("SGD", 0.1), 1.0, 1.0), 400, 200)
    assert outcome.steps is None


def result(optimizer: str, weight: float, place: int, steps: float | None, time: float | None) -> Result:
    """Of a run that was never run."""
    return Result(Run(Setting(optimizer, weight), 0.1 * place, 0.1), Outcome(steps, time, 1.0))


def test_sentences_follow_from_the_numbers() -> None:
    results = []
    for place in range(1, 13):
        results += [
            result("Adam", 0.0, place, 10.0 * place, 10.0 * place),
            result("Adam", 0.1, place, 20.0 * place, 20.0 * place),
            result("SGD", 0.0, place, 300.0, 300.0),
            result("SGD", 0.1, place, 300.0, 300.0),
            result("FR", 0.0, place, 100.0 + place, 20.0 + place),
            result("FR", 0.1, place, None if place > 6 else 50.0, None if place > 6 else 50.0),
        ]
    settings = list(dict.fromkeys(each.run.setting for each in results))
    frame = Frame(600, 1000, {"Adam": [0.1], "FR": [0.1]}, dict.fromkeys(settings, 1.0))
    text = render(frame, results)
    assert "| FR | 0 | 1.00 | 101 | 21 | 106, 2.87, 4.5 | 25.5, 2.87, 4.5 | 0/12 | 0.1 × 0.1 |" in text
    assert "| FR | 0.1 | 1.00 | 50 | 50 | 50, ∞, ∞ | 50, ∞, ∞ | 6/12 | 0.1 × 0.1 |" in text
    assert "Better than Adam (lower median), at equal steps: holds for FR with λ; not for FR." in text
    assert "Better than Adam (lower median), at equal time: holds for all 2: FR, FR with λ." in text
    assert "(lower std), at equal steps: holds for FR; not for FR with λ." in text
    assert "at equal steps: holds for FR (-53%); not for Adam (+100%), SGD (+0%)." in text
    assert "The conjugate rule with the lowest median at equal time is FR, best at 0.1" in text

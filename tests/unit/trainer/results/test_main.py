"""`make results`: sections of what was measured; nothing is measured twice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.unit.trainer.runs import TINY
from tests.unit.trainer.test_sequence_recipes import SMALL
from trainer.data import DataConfig, open_data
from trainer.evaluation import judge as judge_module
from trainer.results import recipes, seeds
from trainer.results.__main__ import main
from trainer.results.runs import TrainedRun
from trainer.training import TrainRequest, train

_SETTINGS = {"digits-cgan": (*TINY, "export.precisions=[fp32]"), "lstm-gan": SMALL}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainedRun]:
    """Packages of tiny runs, by recipe."""
    runs = {}
    for recipe, settings in _SETTINGS.items():
        folder = tmp_path_factory.mktemp(recipe)
        request = TrainRequest(recipe, folder / "run", folder / "models", settings, None, "")
        runs[recipe] = TrainedRun(train(request, lambda _: None).package, "", 640, 1.5, 2.5, 300.0)
    return runs


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: dict[str, TrainedRun]) -> list[str]:
    """The built-in digits, a judge that has hardly learned, and trainings that are done."""

    def train_recipe(recipe: str, run: Path, settings: Sequence[str]) -> TrainedRun:
        assert any("set.npz" in setting for setting in settings)
        assert not run.exists()
        return trained[recipe]

    monkeypatch.setattr(judge_module, "_STEPS_LEAST", 30)
    monkeypatch.setattr(judge_module, "_EPOCHS", 0)
    monkeypatch.setattr(recipes, "train_recipe", train_recipe)
    monkeypatch.setattr(seeds, "train_recipe", train_recipe)
    digits = open_data(DataConfig())
    data = tmp_path / "set.npz"
    np.savez(data, x=digits.train.images, y=digits.train.labels)
    options = {
        "--data": data,
        "--samples": 100,
        "--folder": tmp_path / "runs",
        "--figures": tmp_path / "figures",
        "--out": tmp_path / "RESULTS.md",
        "--pictures": tmp_path / "pictures",
    }
    return [str(part) for option in options.items() for part in option]


def run(arguments: list[str]) -> None:
    """A command that has to succeed."""
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output


def test_a_recipe_is_trained_measured_and_not_measured_twice(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [*arguments, "--study", "recipes", "--minutes", "3", "--jobs", "2"]
    run([*arguments, "--recipe", "digits-cgan", "--recipe", "lstm-gan"])
    results = (tmp_path / "RESULTS.md").read_text()
    assert "on set.npz with seed 0, one run each, for at most the minutes that the table says" in results
    for recipe, picture in {"digits-cgan": "[grid](<{}.png>)", "lstm-gan": "[animation](<{}.gif>)"}.items():
        assert picture.format(f"pictures/{recipe}") in results
    assert (tmp_path / "pictures" / "lstm-gan.gif").read_bytes().startswith(b"GIF")
    assert str(tmp_path) not in results

    monkeypatch.setattr(recipes, "train_recipe", None)
    run([*arguments, "--recipe", "digits-cgan"])  # rows of other recipes stay
    assert (tmp_path / "RESULTS.md").read_text() == results


def test_a_study_leaves_the_sections_of_others_alone(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = "# Results\n\n<!-- study: recipes -->\n## Recipes\n\nMeasured yesterday.\n"
    (tmp_path / "RESULTS.md").write_text(yesterday)
    arguments += ["--study", "seeds", "--recipe", "digits-cgan", "--seeds", "3", "--seed-minutes", "2"]
    run(arguments)
    results = (tmp_path / "RESULTS.md").read_text()
    assert "Measured yesterday." in results
    assert "| 2 | 3 | 427 | " in results
    assert "| 2 | **median** | | **" in results

    monkeypatch.setattr(seeds, "train_recipe", None)
    run(arguments)
    assert (tmp_path / "RESULTS.md").read_text() == results


def test_wrong_data_is_answered_in_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--data", str(tmp_path / "absent"), "--folder", str(tmp_path / "runs")])
    assert done.exit_code == 1
    assert "absent: does not exist" in done.output

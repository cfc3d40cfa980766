"""The study of modes: what counts as found, how far shares are apart, and that nothing is measured twice."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.data import DataConfig, DataSplit, open_data
from trainer.evaluation.modes import Modes, count_modes
from trainer.recipes import recipe_names
from trainer.results import modes
from trainer.results.modes import RECIPES, Bench, Row, modes_of, render, section
from trainer.results.order import Order
from trainer.results.runs import TrainedRun
from trainer.training import resolve


class Corner:
    """A judge that reads the class from the first pixel."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Of grey images."""
        assert images.shape[-1] == 1
        return images[:, 0, 0, 0].astype(np.int64)


def _marked() -> DataSplit:
    """Digits whose first pixel is their class."""
    digits = open_data(DataConfig())
    for part in (digits.train, digits.held_out):
        part.images[:, 0, 0, 0] = part.labels
    return digits


def order(folder: Path, **options: Any) -> Order:
    """With results and pictures in `folder`."""
    return Order(
        data_path=Path("mnist"), folder=folder, figures=folder, pictures=folder, pictures_link="pictures", **options
    )


def test_each_channel_is_read_by_itself() -> None:
    images = np.zeros((3, 2, 2, 3), np.uint8)
    images[:, 0, 0] = [(3, 7, 0), (0, 9, 200), (9, 0, 1)]
    judge: Any = Corner()
    assert modes_of(images, judge, 10).tolist() == [37, 9, 90]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([0, 1, 2, 3], Modes(4, 4, 0.0)),
        ([2, 2], Modes(2, 1, math.log(4))),
        ([0, 0, 0, 3], Modes(4, 2, 0.75 * math.log(3))),
    ],
)
def test_divergence_is_that_of_the_generated_shares_from_the_real_ones(found: list[int], expected: Modes) -> None:
    measured = count_modes(np.array(found), np.full(4, 0.25))
    assert (measured.samples, measured.found) == (expected.samples, expected.found)
    assert measured.divergence == pytest.approx(expected.divergence, abs=1e-12)


def test_the_table_says_which_recipe_meets_the_target(tmp_path: Path) -> None:
    rows = [
        Row("dcgan", 60_000, 60.0, "", Modes(10_000, 100, 0.3), "modes-dcgan.png"),
        Row("pacgan", 1_000, 1.0, "collapsed 2 times", None, None),
        Row("r3gan-small", 90_000, 60.0, "", Modes(10_000, 100, 0.02), "modes-r3gan-small.png"),
        Row("wgan", 90_000, 60.0, "", Modes(10_000, 99, 0.02), "modes-wgan.png"),
    ]
    text = render(order(tmp_path), 100, Modes(9_000, 100, 0.0071), rows)
    assert "| *real images* | | | 100 | 0.007 | |" in text
    assert "| `r3gan-small` | 1,500 | 90,000 | 100 | 0.020 | [grid](<pictures/modes-r3gan-small.png>) |" in text
    assert "| `pacgan` | 1,000 | 1,000 | collapsed 2 times | |  |" in text
    assert text.endswith("by one recipe at least: met by `r3gan-small`.\n")
    assert render(order(tmp_path), 100, Modes(9_000, 100, 0.0), rows[:2]).endswith("missed.\n")
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {7}


def test_real_images_are_the_floor_and_a_row_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []

    def train(recipe: str, _run: Path, _settings: Any) -> TrainedRun:
        trained.append(recipe)
        return TrainedRun(None, "collapsed", 640, 1.0, 2.0, 3.0)

    monkeypatch.setattr(modes, "train_recipe", train)
    yardstick: Any = SimpleNamespace(data=_marked(), judge=Corner())
    real = Bench(order(tmp_path), yardstick).real
    assert (real.samples, real.found) == (10_000, 100)
    assert real.divergence < 0.03
    for _ in range(2):
        *_, last = section(order(tmp_path), yardstick)
        assert trained == list(RECIPES)
        assert last.count("collapsed") == len(RECIPES)


def test_recipes_of_the_study_exist_and_take_its_settings() -> None:
    assert set(RECIPES) <= set(recipe_names())
    for name in RECIPES:
        recipe = resolve(name, (*modes._SETTINGS, *modes.ALIKE))
        assert recipe.data.stacked is not None
        assert not recipe.conditional

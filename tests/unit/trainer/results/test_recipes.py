"""The study of recipes: what is asked of a recipe, and several of them at once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.trainer.results.numbers import GENERATED
from trainer.data import ImageSpec
from trainer.errors import RunError
from trainer.recipes import recipe_names
from trainer.results import kept, recipes
from trainer.results.kept import write_kept
from trainer.results.order import Order
from trainer.results.recipe_tables import Row
from trainer.results.recipes import Bench, remarks
from trainer.training import resolve


def bench(folder: Path, jobs: int = 1) -> Bench:
    """For images such as those of MNIST."""
    spec = ImageSpec(height=28, width=28, channels=1, classes=10)
    yardstick: Any = SimpleNamespace(data=SimpleNamespace(train=SimpleNamespace(spec=spec), fingerprint=lambda: "f"))
    order = Order(data_path=folder, folder=folder, figures=folder, pictures=folder, pictures_link=".", jobs=jobs)
    return Bench(order, yardstick)


def test_each_of_several_at_once_has_one_thread(tmp_path: Path) -> None:
    assert bench(tmp_path).recipe("cgan").device.threads is None
    assert bench(tmp_path, jobs=2).recipe("cgan").device.threads == 1


def test_a_row_whose_picture_is_gone_is_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = bench(tmp_path)
    row = Row("cgan", 10.0, 1, 1, 1.0, 1.0, 1.0, measured=GENERATED, picture="cgan.png")
    monkeypatch.setattr(recipes, "train_recipe", lambda *_: None)
    monkeypatch.setattr(Bench, "_measured", lambda *_: row)
    assert there.row("cgan") is row
    assert there.kept("cgan") is None
    (tmp_path / "cgan.png").touch()
    assert there.kept("cgan") == row


def test_a_row_of_other_minutes_stays_until_its_recipe_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = bench(tmp_path)
    row = Row("cgan", 4.0, 2, 1, 1.0, 1.0, 1.0, measured=GENERATED)
    assert there.is_as_ordered(Row("cgan", 10.0, 1, 1, 1.0, 1.0, 1.0))
    assert not there.is_as_ordered(row)
    write_kept(tmp_path / "recipes" / "cgan.json", there._key("cgan", 4.0, 2), row)
    assert there.kept("cgan") == row
    monkeypatch.setattr(recipes, "resolve", lambda name, settings: resolve(name, (*settings, "training.batch_size=96")))
    monkeypatch.setattr(kept, "resolve", lambda name, settings: resolve(name, (*settings, "training.batch_size=96")))
    assert there.kept("cgan") is None


def test_rows_come_as_they_are_ready_and_the_first_error_stops_the_rest() -> None:
    started = []

    def measure(recipe: str) -> Row:
        started.append(recipe)
        if recipe == "bad":
            raise RunError("stopped")
        return Row(recipe, 10.0, 1, 1, 1.0, 1.0, 1.0)

    assert {row.recipe for row in recipes._together(measure, ["a", "b", "c"], 2)} == {"a", "b", "c"}
    started.clear()
    with pytest.raises(RunError):
        list(recipes._together(measure, ["bad", *"abcdefgh"], 1))
    assert len(started) <= 9


def test_remarks_are_of_recipes_that_exist() -> None:
    assert set(remarks()) <= set(recipe_names())

"""Kept results: found under their key alone; a training's key is what decides how it goes."""

from pathlib import Path

from tests.unit.trainer.results.numbers import GENERATED, MOTION
from trainer.results.kept import read_kept, training_key, write_kept
from trainer.results.recipe_tables import Row


def test_what_was_kept_is_read_again_under_its_key(tmp_path: Path) -> None:
    row = Row("cgan", 4.0, 1, 1, 2.0, 3.0, 4.0, measured=GENERATED, motion=MOTION, picture="cgan.png")
    path = tmp_path / "new" / "measured.json"
    assert read_kept(path, "a", Row) is None
    write_kept(path, "a", row)
    assert read_kept(path, "a", Row) == row
    assert read_kept(path, "b", Row) is None


def test_words_and_folders_do_not_change_a_training() -> None:
    key = training_key("cgan", ("data.path=a",), "f")
    assert training_key("cgan", ("data.path=b", "package.licence=MIT"), "f") == key
    assert training_key("cgan", ("data.path=a", "seed=1"), "f") != key
    assert training_key("cgan", ("data.path=a",), "g") != key


def test_keys_of_what_was_measured_long_ago_stay_good() -> None:
    """Whatever sections a recipe gains that have no part in training."""
    key = training_key("digits-cgan", ("data.path=a", "export.precisions=[fp32]"), "f")
    assert training_key("digits-cgan", ("data.path=a", "export.precisions=[fp32]", "export.int8.images=64"), "f") == key

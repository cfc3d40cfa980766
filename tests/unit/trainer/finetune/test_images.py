"""Images that fit, that are made to fit, and that are refused with advice."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.fine_tuning import FineTuneConfig
from runtime.package import Package
from tests.kit.image_sets import digits, write_folder, write_npz
from trainer.data import DataSplit, LabelledImages
from trainer.errors import DataError
from trainer.finetune.ancestor import Ancestor
from trainer.finetune.classes import plan_classes
from trainer.finetune.images import data_config, nearest_class, open_images, training_images


def opened(path: Path, base: Package, **settings: object) -> DataSplit:
    config = FineTuneConfig.model_validate(settings)
    return open_images(data_config(path, config, base.manifest), config, base.manifest, path.parent / "cache")


def colour(path: Path, side: int, count: int = 24) -> Path:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (count, side, side, 3), dtype=np.uint8)
    return write_folder(path, LabelledImages(pictures, np.arange(count) % 2, ("a", "b")))


def test_images_of_the_packages_size_are_taken_as_they_are(base: Package, tmp_path: Path) -> None:
    images = digits((3, 7), 40)
    split = opened(write_npz(tmp_path / "set.npz", images), base)
    assert (len(split.train), len(split.held_out)) == (32, 8)
    assert split.train.class_names == ("3", "7")
    assert {image.tobytes() for image in split.train.images} <= {image.tobytes() for image in images.images}


def test_other_sizes_are_refused_with_advice(base: Package, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(colour(tmp_path / "set", 12), base)
    assert "images of 12×12×3, digits-cgan@1 makes 8×8×1" in str(caught.value)
    assert "--fit makes them 8×8 pixels, grey" in str(caught.value)


def test_images_are_fitted_where_that_is_asked_for(base: Package, tmp_path: Path) -> None:
    split = opened(colour(tmp_path / "set", 12), base, fit=True)
    assert split.train.images.shape[1:] == (8, 8, 1)
    assert split.train.images.dtype == np.uint8


def test_grey_from_colour_is_pillows(base: Package, tmp_path: Path) -> None:
    path = colour(tmp_path / "set", 8)
    split = opened(path, base, fit=True)
    grey = {np.asarray(Image.open(file).convert("L")).tobytes() for file in path.rglob("*.png")}
    found = np.concatenate([split.train.images, split.held_out.images])
    near = [min(np.abs(np.frombuffer(g, np.uint8).astype(int) - f.ravel()).max() for g in grey) for f in found]
    assert max(near) <= 1


def test_too_few_images_are_refused(base: Package, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="10 images, at least 20 are needed"):
        opened(write_npz(tmp_path / "set.npz", digits((3, 7), 10)), base)


def test_a_label_is_for_images_without_classes(base: Package, tmp_path: Path) -> None:
    flat = write_folder(tmp_path / "flat", digits((3,), 24), flat=True)
    assert opened(flat, base, label="three").train.class_names == ("three",)
    with pytest.raises(DataError, match="--label 'three' is for images without classes, these have 2"):
        opened(write_npz(tmp_path / "set.npz", digits((3, 7), 40)), base, label="three")


def test_what_the_images_lack_is_rehearsed(base: Package, tmp_path: Path) -> None:
    ancestor, split = Ancestor(base.path), opened(write_npz(tmp_path / "set.npz", digits((3, 7), 40)), base)
    plan = plan_classes(base.manifest.classes, split.train.class_names, "merge", lambda _: 0)
    data = training_images(split, plan, ancestor, 0.5)
    counts = np.bincount(data.train.labels)
    assert counts.tolist() == [8, 8, 8, 16, 8, 8, 8, 16, 8, 8]
    assert data.train.class_names == tuple("0123456789")
    assert set(data.held_out.labels.tolist()) == {3, 7}
    drawn = data.train.images[data.train.labels == 0]
    assert np.array_equal(drawn, ancestor.draw(np.zeros(8, np.int64), 8_000_000))
    assert len(training_images(split, plan, ancestor, 0.0).train) == 32


def test_a_new_class_begins_as_what_it_looks_like(base: Package) -> None:
    ancestor = Ancestor(base.path)
    drawn = ancestor.draw(np.full(40, 6, np.int64), 1)
    images = LabelledImages(drawn, np.zeros(40, np.int64), ("mine",))
    assert nearest_class(ancestor, images, 0) == 6

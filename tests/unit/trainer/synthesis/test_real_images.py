"""Real images that are compared with samples: of the package's size, with its classes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny
from trainer.data.digits import NAME
from trainer.errors import DataError
from trainer.synthesis.real_images import open_real_images, with_labels_of


def write_folder(folder: Path, names: tuple[str, ...], mode: str = "L") -> Path:
    """Ten pictures of 20×20 per class; each class has a level of its own."""
    for level, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for index in range(10):
            Image.new(mode, (20, 20), (10 * level + 5,) * len(mode)).save(folder / name / f"{index}.png")
    return folder


def test_they_get_the_packages_size_and_labels(store: DirectoryStore, tmp_path: Path) -> None:
    manifest = publish_tiny(store, classes=("b", "a"), precisions=("fp32",)).manifest
    folder = write_folder(tmp_path / "set", ("a", "b", "other"))
    split = with_labels_of(open_real_images(str(folder), manifest, tmp_path), manifest.classes)
    assert split.train.images.shape == (16, 8, 8, 1)
    assert split.train.class_names == ("b", "a")
    for label, level in ((0, 15), (1, 5)):
        assert np.unique(split.train.images[split.train.labels == label]).tolist() == [level]


def test_the_built_in_digits_have_a_name(store: DirectoryStore, tmp_path: Path) -> None:
    manifest = publish_tiny(store, precisions=("fp32",)).manifest
    split = open_real_images(NAME, manifest, tmp_path)
    assert len(split.train) == 1438
    assert with_labels_of(split, manifest.classes) is split


def test_what_cannot_be_compared_is_refused(store: DirectoryStore, tmp_path: Path) -> None:
    manifest = publish_tiny(store, channels=3, classes=("a", "c"), precisions=("fp32",)).manifest
    grey = write_folder(tmp_path / "grey", ("a", "b"))
    with pytest.raises(DataError, match=r"images of shape \[8, 8, 1\], tiny@1 makes \[8, 8, 3\]"):
        open_real_images(str(grey), manifest, tmp_path)
    colour = write_folder(tmp_path / "colour", ("a", "b"), "RGB")
    split = open_real_images(str(colour), manifest, tmp_path)
    with pytest.raises(DataError, match="has no class 'c'; its classes are a, b"):
        with_labels_of(split, manifest.classes)

"""Small labelled image sets as files, in the ways a user might have them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.data import LabelledImages
from trainer.data.digits import read_digits


def digits(classes: Sequence[int], count: int, *, inverted: bool = False, first: int = 0) -> LabelledImages:
    """`count` of the 8×8 digits that ship with scikit-learn, as many of each class, dark on white if `inverted`."""
    everything = read_digits()
    each = count // len(classes)
    rows = np.concatenate([np.flatnonzero(everything.labels == digit)[first : first + each] for digit in classes])
    images = everything.images[rows]
    labels = np.repeat(np.arange(len(classes)), each)
    return LabelledImages(255 - images if inverted else images, labels, tuple(str(digit) for digit in classes))


def write_npz(path: Path, images: LabelledImages) -> Path:
    """One file with images, labels and names."""
    np.savez(path, images=images.images, labels=images.labels, class_names=np.array(images.class_names))
    return path


def write_folder(path: Path, images: LabelledImages, *, flat: bool = False) -> Path:
    """PNG files, one sub-folder per class, or all in one folder."""
    for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        folder = path if flat else path / images.class_names[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(folder / f"{number:04d}.png")
    return path

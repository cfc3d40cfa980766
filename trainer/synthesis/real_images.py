"""Real images that samples of a package are compared with."""

from pathlib import Path

import numpy as np

from runtime.manifest import Manifest
from trainer.data import DataConfig, DataSplit, open_data
from trainer.data.digits import NAME
from trainer.data.images import LabelledImages
from trainer.errors import DataError


def open_real_images(data: str, manifest: Manifest, cache: Path) -> DataSplit:
    """The images `data` names, of the size that the package makes.

    Args:
        data: as for `latentd train --data`; or ``sklearn-digits``, the built-in ones.
        cache: folder for sets that do not fit in memory.

    Raises:
        DataError: unreadable, or other than what the package makes.
    """
    output = manifest.output
    path = None if data == NAME and not Path(data).exists() else data
    size = output.height if output.height == output.width and output.frames == 1 else None
    split = open_data(DataConfig(path=path, size=size), cache)
    if split.train.images.shape[1:] != output.shape:
        raise DataError(
            f"{data}: images of shape {list(split.train.images.shape[1:])}, {manifest.reference} makes "
            f"{list(output.shape)}; they cannot be compared"
        )
    return split


def with_labels_of(split: DataSplit, class_names: list[str]) -> DataSplit:
    """`split` with labels as indices into `class_names`, matched by name; images of other classes are left out.

    Raises:
        DataError: a class is missing.
    """
    missing = [name for name in class_names if name not in split.train.class_names]
    if missing:
        known = ", ".join(split.train.class_names) or "none"
        raise DataError(f"{split.source}: has no class {missing[0]!r}; its classes are {known}")
    if list(split.train.class_names) == class_names:
        return split
    return DataSplit(
        split.source,
        train=_relabelled(split.train, class_names),
        held_out=_relabelled(split.held_out, class_names),
    )


def _relabelled(images: LabelledImages, class_names: list[str]) -> LabelledImages:
    index = np.array([class_names.index(name) if name in class_names else -1 for name in images.class_names])
    labels = index[images.labels]
    known = np.flatnonzero(labels >= 0)
    return LabelledImages(images.images[known], labels[known], tuple(class_names))

"""The images of a fine-tuning: opened, fitted to the package or refused, joined with what the package rehearses."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.fine_tuning import FineTuneConfig
from runtime.manifest import Manifest
from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.errors import DataError
from trainer.evaluation.measures import joined
from trainer.finetune.ancestor import Ancestor
from trainer.finetune.classes import ClassPlan

LEAST_IMAGES = 20
_REHEARSAL_SEED, _LOOK_SEED = 8_000_000, 9_000_000  # row seeds apart from those of grids, looks and evaluations
_LOOKED_AT = 64
_LUMA = np.array([299, 587, 114], np.uint32)  # of ITU-R BT.601, as Pillow has it


def data_config(path: Path, config: FineTuneConfig, manifest: Manifest) -> DataConfig:
    """How the images at `path` are read for the package that `manifest` describes."""
    output = manifest.output
    size = output.height if config.fit and output.height == output.width and output.frames == 1 else None
    return DataConfig(path=str(path), size=size, held_out=config.held_out)


def open_images(data: DataConfig, config: FineTuneConfig, manifest: Manifest, cache: Path) -> DataSplit:
    """The images as the package makes them.

    Raises:
        DataError: they cannot be read, are too few, or of another size or colour; with advice.
    """
    split = open_data(data, cache)
    if config.fit:
        split = _map(split, lambda images: _in_channels(images, manifest.output.channels))
    found, wanted = split.train.images.shape[1:], manifest.output.shape
    if found != wanted:
        raise DataError(
            f"{split.source}: images of {_size(found)}, {manifest.reference} makes {_size(wanted)} (height × width × "
            f"channels); {_advice(found, wanted)}"
        )
    total = len(split.train) + len(split.held_out)
    if total < LEAST_IMAGES:
        raise DataError(f"{split.source}: {total} images, at least {LEAST_IMAGES} are needed")
    return split if config.label is None else _labelled(split, config.label)


def nearest_class(ancestor: Ancestor, images: LabelledImages, label: int) -> int:
    """The class of `ancestor` whose mean image is nearest to that of the images of class `label`."""
    wanted = images.images[images.labels == label].mean(axis=0, dtype=np.float64)
    classes = len(ancestor.manifest.classes)
    drawn = ancestor.draw(np.arange(classes, dtype=np.int64).repeat(_LOOKED_AT), _LOOK_SEED)
    means = drawn.reshape(classes, _LOOKED_AT, *drawn.shape[1:]).mean(axis=1, dtype=np.float64)
    return int(np.square(means - wanted).reshape(classes, -1).sum(1).argmin())


def training_images(split: DataSplit, plan: ClassPlan, ancestor: Ancestor, rehearsal: float) -> DataSplit:
    """`split` under the labels of the new generator, with images of the classes that it lacks.

    Rehearsing what a generator still knows keeps it from forgetting (Wu et al. 2018, "Memory replay GANs", section
    3.1, "joint retraining with replay").

    Args:
        rehearsal: see `FineTuneConfig.rehearsal`.
    """
    if not plan.names:
        return split
    places = np.array(plan.places, np.int64)
    train, held_out = (
        LabelledImages(part.images, places[part.labels], plan.names) for part in (split.train, split.held_out)
    )
    each = round(rehearsal * len(train) / len(plan.places))
    missing = np.array(plan.without_images, np.int64).repeat(each)
    if len(missing):
        drawn = ancestor.draw(np.array(plan.sources, np.int64)[missing], _REHEARSAL_SEED)
        train = joined(train, LabelledImages(drawn, missing, plan.names))
    # What is drawn may differ by a level from one processor to another; what it is drawn by is known exactly.
    known = f"{split.fingerprint()} {plan.names} {plan.sources} {each} {ancestor.manifest.precisions['fp32'].sha256}"
    return DataSplit(split.source, train, held_out, hashlib.sha256(known.encode()).hexdigest())


def _labelled(split: DataSplit, label: str) -> DataSplit:
    if split.train.class_names:
        raise DataError(
            f"{split.source}: --label {label!r} is for images without classes, these have "
            f"{len(split.train.class_names)}; leave it out"
        )
    train, held_out = (replace(part, class_names=(label,)) for part in (split.train, split.held_out))
    return DataSplit(split.source, train, held_out)


def _map(split: DataSplit, change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> DataSplit:
    train, held_out = (replace(part, images=change(part.images)) for part in (split.train, split.held_out))
    return DataSplit(split.source, train, held_out)


def _in_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """``[…, C]`` to ``[…, channels]``: grey from luma, or grey three times."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    grey = (images.astype(np.uint32) @ _LUMA + 500) // 1000
    return grey.astype(np.uint8)[..., np.newaxis]


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _advice(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    *frames, height, width, channels = wanted
    if len(found) != len(wanted) or (frames and found[0] != wanted[0]):
        return "begin with a package of sequences of that length" if frames else "begin with a package of sequences"
    if height != width or frames:
        return "resize them, or begin with a package of that size"
    colour = "grey" if channels == 1 else "RGB"
    return (
        f"--fit makes them {width}×{height} pixels, {colour}, after a central square cut; to keep their size begin "
        "with a package of that size (latentd train RECIPE --data IMAGES)"
    )

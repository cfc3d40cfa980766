"""Where training images come from: the built-in digits, or whatever `trainer.data.sources` recognises."""

from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from trainer.config import Config
from trainer.data.digits import NAME, read_digits
from trainer.data.images import DataSplit, ImageSpec, LabelledImages, stratified_split
from trainer.data.moving_digits import MovingDigitsConfig, moving_digits
from trainer.data.sources import read_source
from trainer.data.stacked_digits import StackedDigitsConfig, stacked_digits
from trainer.errors import DataError

__all__ = ["DataConfig", "DataSplit", "ImageSpec", "LabelledImages", "open_data"]

MIN_SIDE, MAX_SIDE = 4, 256


class DataConfig(Config):
    """Which images, and how they are prepared."""

    path: str | None = None
    """Images: a folder (image files with one sub-folder per class, MNIST-style IDX files, Parquet in the Hugging
    Face layout, or WebDataset shards), or a .zip, .tar, .npz, .npy or .parquet file. Kept in memory, up to 4 GiB
    of pixels. Null: the digits that ship with scikit-learn."""

    size: int | None = Field(default=None, ge=MIN_SIDE, le=MAX_SIDE)
    """Side in pixels to which every image is resized (after a central square cut); null: as they are."""

    held_out: float = Field(default=0.2, gt=0, lt=1)
    """Share of each class that training never sees; sets with a test part of their own use that instead."""

    split_seed: int = Field(default=0, ge=0)
    """Seed of the split, apart from the training seed, so that runs are judged on the same images."""

    moving: MovingDigitsConfig | None = None
    """Sequences composed from the images; null: the images themselves."""

    stacked: StackedDigitsConfig | None = None
    """Colour images, each composed from two of the grey images; null: the images themselves."""

    @model_validator(mode="after")
    def _composed_once(self) -> "DataConfig":
        if self.moving is not None and self.stacked is not None:
            raise ValueError("moving and stacked are both set, images are composed in one way")
        return self


def open_data(config: DataConfig) -> DataSplit:
    """Read the images `config` names, keep a part apart, and compose them where that is asked for.

    Raises:
        DataError: in one sentence, with the path and what is allowed.
    """
    split = _open_stills(config)
    if config.moving is not None:
        return moving_digits(split, config.moving)
    return split if config.stacked is None else stacked_digits(split, config.stacked)


def _open_stills(config: DataConfig) -> DataSplit:
    if config.path is None:
        split = stratified_split(NAME, read_digits(), config.held_out, config.split_seed)
        return _resized(split, config.size)
    path = Path(config.path)
    train, test = read_source(path, size=config.size)
    if test is None:
        split = stratified_split(str(path), train, config.held_out, config.split_seed)
    else:
        split = DataSplit(str(path), train, test)
    split = _resized(split, config.size)
    spec = split.train.spec
    if not MIN_SIDE <= min(spec.height, spec.width) <= max(spec.height, spec.width) <= MAX_SIDE:
        raise DataError(
            f"{path}: images of {spec.width}×{spec.height} pixels; sides of {MIN_SIDE} to {MAX_SIDE} are "
            "allowed, --set data.size=64 resizes"
        )
    return split


def _resized(split: DataSplit, size: int | None) -> DataSplit:
    if size is None or split.train.images.shape[1:3] == (size, size):
        return split
    return DataSplit(split.source, _resize(split.train, size), _resize(split.held_out, size))


def _resize(data: LabelledImages, size: int) -> LabelledImages:
    frames = (Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in data.images)
    resized = np.stack([np.asarray(frame.resize((size, size), Image.Resampling.LANCZOS)) for frame in frames])
    return LabelledImages(resized.reshape(len(data), size, size, -1), data.labels, data.class_names)

"""Where training images come from: the built-in digits, or whatever `trainer.data.sources` recognises."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from trainer.config import Config
from trainer.data.cache import BuiltMeanwhile, ImageCache
from trainer.data.digits import NAME, read_digits
from trainer.data.images import DataSplit, ImageSpec, LabelledImages, stratified_rows, stratified_split
from trainer.data.moving_digits import MovingDigitsConfig, moving_digits
from trainer.data.room import Room
from trainer.data.sources import read_source
from trainer.data.stacked_digits import StackedDigitsConfig, stacked_digits
from trainer.errors import DataError

__all__ = ["DataConfig", "DataSplit", "ImageSpec", "LabelledImages", "open_data"]

MIN_SIDE, MAX_SIDE = 4, 256


class DataConfig(Config):
    """Which images, and how they are prepared."""

    path: str | None = None
    """Images: a folder (image files with one sub-folder per class, MNIST-style IDX files, Parquet in the Hugging
    Face layout, or WebDataset shards), or a .zip, .tar, .npz, .npy or .parquet file. Null: the digits that ship with
    scikit-learn."""

    size: int | None = Field(default=None, ge=MIN_SIDE, le=MAX_SIDE)
    """Side in pixels to which every image is resized (after a central square cut); null: as they are."""

    held_out: float = Field(default=0.2, gt=0, lt=1)
    """Share of each class that training never sees; sets with a test part of their own use that instead."""

    split_seed: int = Field(default=0, ge=0)
    """Seed of the split, apart from the training seed, so that runs are judged on the same images."""

    memory_gib: float = Field(default=4.0, gt=0)
    """Decoded pixels, in GiB, that are kept in memory. A larger set is decoded once into a folder `.images` beside the
    run, and read from there while it is trained on; remove that folder when you like."""

    moving: MovingDigitsConfig | None = None
    """Sequences composed from the images; null: the images themselves."""

    stacked: StackedDigitsConfig | None = None
    """Colour images, each composed from two of the grey images; null: the images themselves."""

    @model_validator(mode="after")
    def _composed_once(self) -> "DataConfig":
        if self.moving is not None and self.stacked is not None:
            raise ValueError("moving and stacked are both set, images are composed in one way")
        return self


def open_data(config: DataConfig, cache: Path | None = None) -> DataSplit:
    """Read the images `config` names, keep a part apart, and compose them where that is asked for.

    Args:
        cache: folder for sets that do not fit in memory; None refuses them.

    Raises:
        DataError: in one sentence, with the path and what is allowed.
    """
    split = _open_files(config, cache)
    if split.train.spec.frames > 1 and (config.moving is not None or config.stacked is not None):
        raise DataError(f"{split.source}: holds sequences; data.moving and data.stacked compose from single images")
    if config.moving is not None:
        return moving_digits(split, config.moving)
    return split if config.stacked is None else stacked_digits(split, config.stacked)


def _open_files(config: DataConfig, folder: Path | None) -> DataSplit:
    if config.path is None:
        return _resized(stratified_split(NAME, read_digits(), config.held_out, config.split_seed), config.size)
    path, limit = Path(config.path), int(config.memory_gib * 2**30)
    if folder is None:
        split = _read(config, path, Room(limit), None)
    else:
        with ImageCache(folder, path, config.size, config.held_out, config.split_seed) as cache:
            split = cache.find() or _read(config, path, Room(limit, cache.new_file), cache)
    spec = split.train.spec
    if not MIN_SIDE <= min(spec.height, spec.width) <= max(spec.height, spec.width) <= MAX_SIDE:
        raise DataError(
            f"{path}: images of {spec.width}×{spec.height} pixels; sides of {MIN_SIDE} to {MAX_SIDE} are "
            "allowed, --set data.size=64 resizes"
        )
    return split


def _read(config: DataConfig, path: Path, room: Room, cache: ImageCache | None) -> DataSplit:
    try:
        train, test = read_source(path, size=config.size, room=room)
        if test is None:
            kept, apart = stratified_rows(str(path), train, config.held_out, config.split_seed)
            parts = (train, kept), (train, apart)
        else:
            parts = (train, np.arange(len(train))), (test, np.arange(len(test)))
        if cache and any(isinstance(images.images, np.memmap) for images, _ in parts):
            return cache.keep(str(path), *parts, lambda images: _resize(images, config.size))
    except BuiltMeanwhile as built:
        return built.split
    if test is None:
        train, test = (images.subset(rows) for images, rows in parts)
    return _resized(DataSplit(str(path), train, test), config.size)


def _resized(split: DataSplit, size: int | None) -> DataSplit:
    train, held_out = (replace(part, images=_resize(part.images, size)) for part in (split.train, split.held_out))
    return DataSplit(split.source, train, held_out)


def _resize(images: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """`images`, uint8 ``[n, H, W, C]``, with both sides `size` pixels long."""
    if size is None or images.shape[-3:-1] == (size, size):
        return images
    if images.ndim == 5:
        raise DataError(
            f"sequences of {images.shape[3]}×{images.shape[2]} pixels; data.size resizes single images only"
        )
    frames = (Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in images)
    resized = np.stack([np.asarray(frame.resize((size, size), Image.Resampling.LANCZOS)) for frame in frames])
    return resized.reshape(len(images), size, size, -1)

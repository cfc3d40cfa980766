"""Sequences of digits (or any small images) that move over a black canvas and bounce off its borders.

The "Moving MNIST" of Srivastava et al. 2015 ("Unsupervised learning of video representations using LSTMs",
section 4.1), composed in memory from whatever images a recipe names.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from trainer.config import Config
from trainer.data.images import DataSplit, ImageSpec, LabelledImages
from trainer.errors import DataError

MAX_BYTES = 2 << 30


class MovingDigitsConfig(Config):
    """How sequences are composed; `sequences` × `frames` × `canvas`² × channels is their size in bytes."""

    canvas: int = Field(default=20, ge=8, le=256)
    """Side of each frame in pixels."""

    digit_size: int | None = Field(default=None, ge=4, le=128)
    """Side to which a larger digit is resized before it moves; null: as it is."""

    frames: int = Field(default=16, ge=2, le=256)
    """Frames of a sequence."""

    digits: int = Field(default=1, ge=1, le=2)
    """Digits in a sequence. A single one gives the sequence its class, two leave it without."""

    slowest: float = Field(default=0.5, ge=0, le=64)
    """Least speed in pixels per frame; each digit keeps its own."""

    fastest: float = Field(default=1.5, ge=0, le=64)
    """Greatest speed in pixels per frame."""

    sequences: int = Field(default=4_000, ge=4, le=1_000_000)
    """Training sequences, made of training images alone; a fifth as many are held out, of held-out images."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Start of the random choice of digits, places and directions, apart from the training seed."""


def moving_digits(split: DataSplit, config: MovingDigitsConfig) -> DataSplit:
    """Compose sequences from the images of `split`; the same config and images, the same pixels.

    Raises:
        DataError: the digits do not fit on the canvas, or the sequences do not fit in memory.
    """
    spec = split.train.spec
    side = _side(spec, config.digit_size)
    if spec.frames > 1 or side > config.canvas:
        raise DataError(
            f"{split.source}: images of {side} pixels do not move on a canvas of {config.canvas}; "
            f"--set data.moving.digit_size={config.canvas // 2} makes them smaller"
        )
    size = config.sequences * config.frames * config.canvas**2 * spec.channels
    if size > MAX_BYTES:
        raise DataError(
            f"{split.source}: {config.sequences:,} sequences are {size / 2**30:.1f} GiB, allowed are "
            f"{MAX_BYTES >> 30}; --set data.moving.sequences={config.sequences * MAX_BYTES // size}"
        )
    return DataSplit(
        f"{split.source}, moving",
        _compose(split.train, config, config.sequences, part=0),
        _compose(split.held_out, config, max(2, config.sequences // 5), part=1),
    )


def bounce(start: NDArray[np.float64], speed: NDArray[np.float64], frames: int, reach: int) -> NDArray[np.int64]:
    """Whole pixels of a point that moves at constant speed between 0 and `reach` and is reflected at both.

    Args:
        start: ``[n]`` in 0 … `reach`.
        speed: ``[n]`` in pixels per frame, either sign.

    Returns:
        int64 ``[n, frames]`` in 0 … `reach`.
    """
    if reach == 0:
        return np.zeros((len(start), frames), np.int64)
    way = start[:, None] + speed[:, None] * np.arange(frames)
    places: NDArray[np.int64] = np.rint(reach - np.abs(way % (2 * reach) - reach)).astype(np.int64)
    return places


def _compose(images: LabelledImages, config: MovingDigitsConfig, n: int, *, part: int) -> LabelledImages:
    random = np.random.default_rng([config.seed, part])
    sprites = _sprites(images, _side(images.spec, config.digit_size))
    _, height, width, channels = sprites.shape
    frames = np.zeros((n, config.frames, config.canvas, config.canvas, channels), np.uint8)
    chosen = np.empty((config.digits, n), np.int64)
    for digit in range(config.digits):
        chosen[digit] = random.permutation(np.resize(random.permutation(len(images)), n))
        angle = random.uniform(0, 2 * np.pi, n)
        speed = random.uniform(config.slowest, max(config.slowest, config.fastest), n)
        reach_down, reach_right = config.canvas - height, config.canvas - width
        top = bounce(random.uniform(0, reach_down, n), speed * np.sin(angle), config.frames, reach_down)
        left = bounce(random.uniform(0, reach_right, n), speed * np.cos(angle), config.frames, reach_right)
        for row in range(n):
            for moment in range(config.frames):
                y, x = top[row, moment], left[row, moment]
                place = frames[row, moment, y : y + height, x : x + width]
                np.maximum(place, sprites[chosen[digit, row]], out=place)
    labelled = config.digits == 1
    return LabelledImages(
        frames,
        images.labels[chosen[0]] if labelled else np.zeros(n, np.int64),
        images.class_names if labelled else (),
    )


def _side(spec: ImageSpec, largest: int | None) -> int:
    """Side of the digits as they move."""
    side = max(spec.height, spec.width)
    return min(side, largest or side)


def _sprites(images: LabelledImages, side: int) -> NDArray[np.uint8]:
    if side == max(images.images.shape[1:3]):
        return images.images
    resized = [
        np.asarray(
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).resize(
                (side, side), Image.Resampling.LANCZOS
            )
        )
        for image in images.images
    ]
    return np.stack(resized).reshape(len(images), side, side, -1)

"""Sampled images or sequences as one file for people to look at."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from runtime.images import make_grid
from runtime.sequences import FileFormat, encode_file, make_film_strip, make_moving_grid

_FORMATS: dict[str, FileFormat] = {".png": "png", ".jpeg": "jpeg", ".webp": "webp", ".gif": "gif"}
SUFFIXES = (*_FORMATS, ".npy")
_LEAST_SIDE = 64


def encode_picture(
    samples: NDArray[np.uint8], suffix: str, columns: int | None, scale: int | None, text: Mapping[str, str]
) -> bytes:
    """A grid of images; of sequences an animation of all side by side (GIF, WebP) or one film strip below the other.

    Args:
        samples: uint8 ``[n, H, W, C]`` or ``[n, T, H, W, C]``.
        suffix: one of `SUFFIXES` other than ``.npy``.
        columns: per row; None makes it nearly square. A film strip has one per frame in any case.
        scale: every pixel becomes a square of this side; None: so that an image has at least 64 pixels a side.
        text: for the text chunks of a PNG.

    Raises:
        ValueError: an animation of still images.
    """
    file_format = _FORMATS[suffix]
    scale = scale or max(1, -(-_LEAST_SIDE // samples.shape[-3]))
    if samples.ndim == 4:
        if file_format == "gif":
            raise ValueError("the model makes still images; allowed: .png, .jpeg, .webp, .npy")
        return encode_file(make_grid(samples, columns, scale=scale, gap=scale), file_format, text)
    if file_format in ("gif", "webp"):
        return encode_file(make_moving_grid(samples, columns, scale=scale, gap=scale), file_format, text)
    return encode_file(make_film_strip(samples, scale=scale, gap=scale), file_format, text)

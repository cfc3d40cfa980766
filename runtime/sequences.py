"""Image sequences to files: animations, film strips, and sequences side by side."""

import io
from collections.abc import Mapping
from typing import Literal

import numpy as np
from PIL import Image

from runtime.images import ImageFormat, Pixels, encode_image, make_grid

AnimationFormat = Literal["gif", "webp"]
FileFormat = ImageFormat | Literal["gif"]

FRAME_MS = 100
"""How long an animation shows each frame; animations repeat without end."""


def encode_file(
    pixels: Pixels, file_format: FileFormat, text: Mapping[str, str] | None = None, *, frame_ms: int = FRAME_MS
) -> bytes:
    """One image or one sequence as one file.

    Args:
        pixels: uint8 ``[H, W, C]``; or ``[T, H, W, C]``, which is an animation in ``gif`` and ``webp`` and a film
            strip, frames from left to right, in ``png`` and ``jpeg``.
        file_format: ``gif`` is for sequences alone.
        text: written as text chunks of a PNG; other formats carry none.
        frame_ms: milliseconds of each frame of an animation.
    """
    moving = pixels.ndim == 4
    if file_format == "gif" or (file_format == "webp" and moving):
        assert moving, "a still image has no animation"
        return encode_animation(pixels, file_format, frame_ms=frame_ms)
    return encode_image(make_film_strip(pixels[np.newaxis]) if moving else pixels, file_format, text)


def encode_animation(frames: Pixels, animation_format: AnimationFormat = "gif", *, frame_ms: int = FRAME_MS) -> bytes:
    """One animation that repeats without end.

    ``webp`` is lossless; ``gif`` is so for grey frames, and has at most 256 colours in each other frame. Equal
    frames in a row are written as one that is shown longer.

    Args:
        frames: uint8 ``[T, H, W, C]``, C 1 (grey) or 3 (RGB).
    """
    first, *others = (Image.fromarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in frames)
    file = io.BytesIO()
    if animation_format == "gif":
        first.save(file, "GIF", save_all=True, append_images=others, duration=frame_ms, loop=0, optimize=False)
    else:
        first.save(
            file, "WEBP", save_all=True, append_images=others, duration=frame_ms, loop=0, lossless=True, method=0
        )
    return file.getvalue()


def make_film_strip(sequences: Pixels, *, scale: int = 1, gap: int = 0) -> Pixels:
    """Every frame at once: one row per sequence, time from left to right.

    Args:
        sequences: uint8 ``[n, T, H, W, C]``.
        scale: see `runtime.images.make_grid`.
        gap: likewise.

    Returns:
        uint8 ``[n · H · scale + gaps, T · W · scale + gaps, C]``.
    """
    _, frames, *size = sequences.shape
    return make_grid(sequences.reshape(-1, *size), frames, scale=scale, gap=gap)


def make_moving_grid(sequences: Pixels, columns: int | None = None, *, scale: int = 1, gap: int = 0) -> Pixels:
    """Sequences side by side, all running at once: a grid for each moment.

    Args:
        sequences: uint8 ``[n, T, H, W, C]``.
        columns: see `runtime.images.make_grid`, as are `scale` and `gap`.

    Returns:
        uint8 ``[T, height, width, C]``.
    """
    moments = sequences.swapaxes(0, 1)
    return np.stack([make_grid(moment, columns, scale=scale, gap=gap) for moment in moments])

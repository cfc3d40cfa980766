"""Animations, film strips and moving grids."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from runtime.sequences import (
    FRAME_MS,
    AnimationFormat,
    FileFormat,
    encode_animation,
    encode_file,
    make_film_strip,
    make_moving_grid,
)


def sequences(n: int = 2, frames: int = 5, channels: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (n, frames, 6, 8, channels), dtype=np.uint8)


def decoded(content: bytes, mode: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as animation:
        return np.stack([np.asarray(frame.convert(mode)) for frame in ImageSequence.Iterator(animation)])


@pytest.mark.parametrize("animation_format", ["gif", "webp"])
def test_grey_animations_return_every_pixel(animation_format: AnimationFormat) -> None:
    frames = sequences()[0]
    assert np.array_equal(decoded(encode_animation(frames, animation_format), "L"), frames[..., 0])


def test_colour_webp_returns_every_pixel_and_gif_every_frame() -> None:
    frames = sequences(channels=3)[0]
    assert np.array_equal(decoded(encode_animation(frames, "webp"), "RGB"), frames)
    assert decoded(encode_animation(frames, "gif"), "RGB").shape == frames.shape


@pytest.mark.parametrize("animation_format", ["gif", "webp"])
def test_animations_repeat_without_end_at_their_pace(animation_format: AnimationFormat) -> None:
    with Image.open(io.BytesIO(encode_animation(sequences()[0], animation_format))) as animation:
        animation.load()
        assert animation.info["loop"] == 0
        assert animation.info["duration"] == FRAME_MS


def test_equal_frames_in_a_row_are_one_shown_longer() -> None:
    frames = np.zeros((4, 6, 8, 1), np.uint8)
    frames[2:] = 255
    with Image.open(io.BytesIO(encode_animation(frames, "gif"))) as animation:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(animation)]
    assert durations == [2 * FRAME_MS, 2 * FRAME_MS]


def test_film_strip_has_a_row_per_sequence_and_a_column_per_frame() -> None:
    pixels = sequences()
    strip = make_film_strip(pixels)
    assert strip.shape == (2 * 6, 5 * 8, 1)
    assert np.array_equal(strip[6:12, 3 * 8 : 4 * 8], pixels[1, 3])
    assert make_film_strip(pixels, scale=2, gap=1).shape == (2 * 12 + 1, 5 * 16 + 4, 1)


def test_moving_grid_shows_all_sequences_at_each_moment() -> None:
    pixels = sequences(n=3)
    grid = make_moving_grid(pixels, 3)
    assert grid.shape == (5, 6, 24, 1)
    assert np.array_equal(grid[4, :, 8:16], pixels[1, 4])


@pytest.mark.parametrize("file_format", ["gif", "webp"])
def test_a_sequence_is_an_animation_where_the_format_moves(file_format: AnimationFormat) -> None:
    pixels = sequences()[0]
    assert encode_file(pixels, file_format) == encode_animation(pixels, file_format)


@pytest.mark.parametrize("file_format", ["png", "jpeg"])
def test_a_sequence_is_a_film_strip_elsewhere(file_format: FileFormat) -> None:
    with Image.open(io.BytesIO(encode_file(sequences()[0], file_format, {"seed": "7"}))) as strip:
        assert strip.size == (5 * 8, 6)
        assert strip.info.get("seed") == ("7" if file_format == "png" else None)

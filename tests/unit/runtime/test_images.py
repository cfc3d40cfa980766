"""uint8 arrays to files and back."""

import io
import zipfile
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from runtime.images import encode_image, encode_npy, encode_npz, encode_zip, make_grid

IMAGES = arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 12)] * 2, st.sampled_from([1, 3])))


def decode(content: bytes, mode: Literal["L", "RGB"]) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        pixels = np.asarray(image.convert(mode))
    return pixels[..., None] if mode == "L" else pixels


@given(pixels=IMAGES)
@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_formats_return_every_pixel(image_format: Literal["png", "webp"], pixels: NDArray[np.uint8]) -> None:
    content = encode_image(pixels, image_format)
    assert np.array_equal(decode(content, "L" if pixels.shape[-1] == 1 else "RGB"), pixels)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_jpeg_keeps_a_smooth_image_within_a_few_levels(channels: int, mode: Literal["L", "RGB"]) -> None:
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    pixels = np.broadcast_to(ramp[:, None, None], (32, 32, channels)).copy()
    decoded = decode(encode_image(pixels, "jpeg"), mode)
    assert np.abs(decoded.astype(np.int16) - pixels).max() <= 4


@pytest.mark.parametrize(
    ("image_format", "begins"), [("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")]
)
def test_each_format_is_what_it_says(image_format: Literal["png", "jpeg", "webp"], begins: bytes) -> None:
    assert encode_image(np.zeros((2, 2, 3), np.uint8), image_format).startswith(begins)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_png_has_as_many_channels_as_the_array(channels: int, mode: str) -> None:
    with Image.open(io.BytesIO(encode_image(np.zeros((2, 3, channels), np.uint8)))) as image:
        assert (image.mode, image.size) == (mode, (3, 2))


def test_a_png_carries_text_chunks() -> None:
    text = {"model": "digits-cgan", "seed": "7", "label": "Überraschung 数字"}
    with Image.open(io.BytesIO(encode_image(np.zeros((2, 2, 1), np.uint8), "png", text))) as image:
        assert image.info == text


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_the_same_pixels_give_the_same_bytes(image_format: Literal["png", "jpeg", "webp"]) -> None:
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    assert encode_image(pixels, image_format) == encode_image(pixels.copy(), image_format)


@given(
    n=st.integers(1, 11),
    columns=st.integers(1, 12),
    scale=st.integers(1, 3),
    gap=st.integers(0, 2),
    channels=st.sampled_from([1, 3]),
)
def test_every_image_of_a_grid_is_in_its_cell(n: int, columns: int, scale: int, gap: int, channels: int) -> None:
    height, width = 2, 3
    images = np.random.default_rng(n).integers(1, 256, (n, height, width, channels), dtype=np.uint8)
    grid = make_grid(images, columns, scale=scale, gap=gap)
    used = min(n, columns)
    rows = (n + used - 1) // used
    assert grid.shape == (
        rows * height * scale + (rows - 1) * gap,
        used * width * scale + (used - 1) * gap,
        channels,
    )
    painted = np.zeros(grid.shape[:2], dtype=bool)
    for index, image in enumerate(images):
        top = (index // used) * (height * scale + gap)
        left = (index % used) * (width * scale + gap)
        cell = slice(top, top + height * scale), slice(left, left + width * scale)
        assert np.array_equal(grid[cell][::scale, ::scale], image)
        assert np.array_equal(grid[cell], image.repeat(scale, 0).repeat(scale, 1))
        painted[cell] = True
    assert not grid[~painted].any()


@pytest.mark.parametrize(("n", "columns", "rows"), [(1, 1, 1), (2, 2, 1), (4, 2, 2), (5, 3, 2), (9, 3, 3), (10, 4, 3)])
def test_a_grid_is_nearly_square_by_default(n: int, columns: int, rows: int) -> None:
    assert make_grid(np.ones((n, 1, 1, 1), np.uint8)).shape == (rows, columns, 1)


@given(images=arrays.arrays(np.uint8, st.tuples(*[st.integers(0, 4)] * 3, st.just(3))))
def test_npy_returns_the_array(images: NDArray[np.uint8]) -> None:
    loaded = np.load(io.BytesIO(encode_npy(images)), allow_pickle=False)
    assert loaded.dtype == np.uint8
    assert np.array_equal(loaded, images)


def test_arrays_are_never_pickled() -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        encode_npz({"images": np.array([{}], dtype=object)})


def test_npz_returns_the_arrays_by_name() -> None:
    arrays_in: dict[str, NDArray[Any]] = {
        "images": np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3),
        "seeds": np.array([2**53 - 1], np.uint64),
    }
    with np.load(io.BytesIO(encode_npz(arrays_in)), allow_pickle=False) as loaded:
        assert set(loaded) == set(arrays_in)
        assert all(np.array_equal(loaded[name], value) for name, value in arrays_in.items())
        assert loaded["seeds"].dtype == np.uint64


def test_a_zip_holds_the_files_in_order_and_is_reproducible() -> None:
    files = [("0_seed7.png", b"seven"), ("1_seed8.png", b"eight")]
    content = encode_zip(files)
    assert content == encode_zip(iter(files))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert [(name, archive.read(name)) for name in archive.namelist()] == files


def test_unzipped_files_can_be_read_by_their_owner() -> None:
    with zipfile.ZipFile(io.BytesIO(encode_zip([("a.png", b"a")]))) as archive:
        assert archive.getinfo("a.png").external_attr >> 16 & 0o777 == 0o644

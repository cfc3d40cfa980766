"""uint8 arrays to files: single images, grids, arrays and archives."""

import io
import zipfile
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

ImageFormat = Literal["png", "jpeg", "webp"]
ArrayFormat = Literal["npy", "npz"]

Pixels = NDArray[np.uint8]


def encode_image(pixels: Pixels, image_format: ImageFormat = "png", text: Mapping[str, str] | None = None) -> bytes:
    """One image file.

    Args:
        pixels: uint8 ``[H, W, C]``, C 1 (grey) or 3 (RGB).
        image_format: ``png`` and ``webp`` are lossless, ``jpeg`` has quality 95.
        text: written as text chunks of a PNG; other formats carry none.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    file = io.BytesIO()
    if image_format == "png":
        chunks = PngImagePlugin.PngInfo()
        for key, value in (text or {}).items():
            chunks.add_text(key, value)
        image.save(file, "PNG", compress_level=1, pnginfo=chunks)
    elif image_format == "jpeg":
        image.save(file, "JPEG", quality=95)
    else:
        image.save(file, "WEBP", lossless=True, method=0)
    return file.getvalue()


def make_grid(images: Pixels, columns: int | None = None, *, scale: int = 1, gap: int = 0) -> Pixels:
    """Lay images out row by row on black.

    Args:
        images: uint8 ``[n, H, W, C]``, n at least 1.
        columns: images per row; the nearest to a square by default.
        scale: every pixel becomes a square of this side.
        gap: pixels between neighbours, after scaling.

    Returns:
        uint8 ``[rows · H · scale + gaps, columns · W · scale + gaps, C]``; missing last cells are black.
    """
    n, height, width, channels = images.shape
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    rows = -(-n // columns)
    cell_height, cell_width = height * scale + gap, width * scale + gap
    grid = np.zeros((rows * cell_height - gap, columns * cell_width - gap, channels), dtype=np.uint8)
    enlarged = images.repeat(scale, axis=1).repeat(scale, axis=2)
    for index, image in enumerate(enlarged):
        top, left = (index // columns) * cell_height, (index % columns) * cell_width
        grid[top : top + height * scale, left : left + width * scale] = image
    return grid


def encode_npy(images: Pixels) -> bytes:
    """The array as one `.npy` file."""
    file = io.BytesIO()
    np.save(file, images, allow_pickle=False)
    return file.getvalue()


def encode_npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Named arrays as one `.npz` file, uncompressed."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def encode_zip(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Named files as one archive, stored without a second compression and with a fixed date."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as writer:
        for name, content in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o644 << 16  # else Unix extracts a file that nobody may read
            writer.writestr(entry, content)
    return archive.getvalue()

"""Encoded pictures, wherever they come from, to labelled images."""

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from trainer.data.images import LabelledImages
from trainer.data.room import Pixels, Room
from trainer.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"})
_WORKERS = min(8, os.cpu_count() or 1)
_TASK = 32  # pictures: small ones take less time than a thread takes to hear of them
_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16"})

Unjoined = tuple[LabelledImages, list[int | str], tuple[str, ...]]
"""Unlabelled images; the label of each as it is written, or none at all; names of the labels 0, 1, … if given."""


@dataclass(frozen=True)
class Picture:
    """One encoded image.

    Attributes:
        name: where it lies, for messages.
        content: bytes of a PNG, JPEG, … file.
        label: index of its class; 0 where there are none.
    """

    name: str
    content: bytes
    label: int


def decode_all(
    source: str, pictures: Iterable[Picture], class_names: tuple[str, ...], *, size: int | None, room: Room
) -> LabelledImages:
    """Decode `pictures`, a few at a time. Grey only where every picture is grey, else RGB; transparency is laid on
    black.

    Args:
        source: what the pictures are part of, for messages.
        size: cut each to its central square and resize it to this side; None takes them as they are.
        room: for the pixels.

    Raises:
        DataError: none at all, an unreadable one, different sizes without `size`, or no room for them.
    """
    collected, labels = Pixels(source, room), list[int]()
    first: tuple[str, tuple[int, ...]] | None = None
    for picture, pixels in _decoded(pictures, size):
        name, side = picture.name.rpartition("/")[2], pixels.shape[:2]
        first = first or (name, side)
        if side != first[1]:
            (height, width), (other_height, other_width) = first[1], side
            raise DataError(
                f"{source}: images differ in size: {first[0]} has {width}×{height} pixels, "
                f"{name} {other_width}×{other_height}; --set data.size=32 makes all of them 32×32"
            )
        collected.add(pixels)
        labels.append(picture.label)
    if not collected:
        raise DataError(f"{source}: there are no images; read are {', '.join(sorted(SUFFIXES))}")
    return LabelledImages(collected.finish(), np.array(labels, np.int64), class_names)


def _decoded(pictures: Iterable[Picture], size: int | None) -> Iterator[tuple[Picture, NDArray[np.uint8]]]:
    """Each of `pictures` with its pixels, in order; several threads decode a little ahead."""
    coming: deque[Future[list[tuple[Picture, NDArray[np.uint8]]]]] = deque()
    source = iter(pictures)
    with ThreadPoolExecutor(_WORKERS) as workers:
        while task := list(islice(source, _TASK)):
            coming.append(workers.submit(lambda task: [(picture, decode(picture, size)) for picture in task], task))
            if len(coming) > 2 * _WORKERS:
                yield from coming.popleft().result()
        while coming:
            yield from coming.popleft().result()


def index_labels(*parts: Sequence[int | str]) -> tuple[list[NDArray[np.int64]], tuple[str, ...]]:
    """Labels of any kind to indices, over all `parts` together, and the names they stand for, in order."""
    values = {value for part in parts for value in part}
    numbers = all(isinstance(value, int) for value in values)
    order = sorted(values) if numbers else sorted(values, key=str)
    index = {value: position for position, value in enumerate(order)}
    indices = [np.array([index[value] for value in part], np.int64) for part in parts]
    return indices, tuple(str(value) for value in order)


def decode(picture: Picture, size: int | None) -> NDArray[np.uint8]:
    """The pixels of `picture`, uint8 ``[H, W, 1]`` or ``[H, W, 3]``.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(picture.content)) as opened:
            image = _flatten(opened)
    except UnidentifiedImageError as error:
        raise DataError(f"{picture.name}: cannot be read as an image: none of the known formats") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{picture.name}: cannot be read as an image: {error}") from error
    if size is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        image = square.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _flatten(image: Image.Image) -> Image.Image:
    """In mode L or RGB."""
    if image.mode.startswith("I;16") or image.mode == "I":  # Pillow clips 16-bit levels instead of scaling them
        levels = np.asarray(image, dtype=np.float64) / 257
        return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    grey = image.mode in _GREY_MODES
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, (0, 0, 0, 255)), seen)
    return image.convert("L" if grey else "RGB")

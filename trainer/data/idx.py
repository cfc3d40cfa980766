"""MNIST-style IDX files, compressed with gzip or not.

The format: two zero bytes, a type code (0x08: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit integer, then the elements (http://yann.lecun.com/exdb/mnist/).
"""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.data.class_list import read_class_list
from trainer.data.images import LabelledImages
from trainer.errors import DataError

_PARTS = {
    "training images": "train-images-idx3-ubyte",
    "training labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}
_TRAINING = {part: stem for part, stem in _PARTS.items() if part.startswith("training")}


def is_idx_folder(folder: Path) -> bool:
    """Whether any of the four files of a set lies in `folder`."""
    return any(_find(folder, stem) for stem in _PARTS.values())


def read_idx_folder(folder: Path) -> tuple[LabelledImages, LabelledImages | None]:
    """The training part in `folder`, and the test part, None where both its files are absent.

    Classes are called by their numbers, or as `labels.txt` calls them.

    Raises:
        DataError: one of the files is missing or damaged, or images and labels differ in number.
    """
    parts = _PARTS if _find(folder, _PARTS["test images"]) or _find(folder, _PARTS["test labels"]) else _TRAINING
    arrays: dict[str, NDArray[np.uint8]] = {}
    for part, stem in parts.items():
        path = _find(folder, stem)
        if path is None:
            raise DataError(f"{folder}: the {part} are missing: {stem} or {stem}.gz is needed beside the others")
        arrays[part] = read_idx(path, dimensions=3 if "images" in part else 1)
    classes = np.unique(np.concatenate([arrays[part] for part in parts if "labels" in part]))  # some count from 1
    train = _join(folder, arrays, "training", classes)
    return train, _join(folder, arrays, "test", classes) if "test images" in parts else None


def read_idx(path: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """One IDX file of unsigned bytes.

    Raises:
        DataError: not an IDX file of bytes with that many dimensions, empty, cut short, or too long.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise DataError(f"{path}: not an IDX file of bytes with {dimensions} dimension{'s' * (dimensions > 1)}")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = int(np.prod(shape, dtype=np.int64))
    if expected == 0:
        raise DataError(f"{path}: holds no elements, its header says {shape}")
    if len(content) - header != expected:
        raise DataError(f"{path}: {len(content) - header} bytes of data, its header {shape} says {expected}")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape).copy()


def _find(folder: Path, stem: str) -> Path | None:
    for name in (stem, f"{stem}.gz", stem.replace("-idx", ".idx"), f"{stem.replace('-idx', '.idx')}.gz"):
        if (folder / name).is_file():
            return folder / name
    return None


def _join(folder: Path, arrays: dict[str, NDArray[np.uint8]], part: str, classes: NDArray[np.uint8]) -> LabelledImages:
    images, labels = arrays[f"{part} images"], arrays[f"{part} labels"]
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images)} {part} images but {len(labels)} {part} labels")
    indices = np.searchsorted(classes, labels).astype(np.int64)
    names = read_class_list(folder)
    known = bool(names) and int(classes.max()) < len(names)
    return LabelledImages(images[..., None], indices, tuple(names[label] if known else str(label) for label in classes))

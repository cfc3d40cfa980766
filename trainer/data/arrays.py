"""NumPy files: one array of images (.npy), or images and labels by name (.npz). Nothing pickled is loaded."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.data.decoding import index_labels
from trainer.data.images import LabelledImages
from trainer.data.room import Room
from trainer.errors import DataError

_IMAGES, _LABELS = ("images", "x_train", "x", "arr_0"), ("labels", "y_train", "y", "arr_1")
_TEST_IMAGES, _TEST_LABELS = ("test_images", "x_test"), ("test_labels", "y_test")
_BROKEN = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError, NotImplementedError)


def read_arrays(path: Path, *, room: Room) -> tuple[LabelledImages, LabelledImages | None]:
    """Images uint8 ``[n, H, W]``, ``[n, H, W, C]`` or ``[n, C, H, W]``; in .npz under `images` (or `x`, `x_train`),
    labels under `labels` (or `y`, `y_train`), what they are called under `class_names`, and a test part, if any, under
    `x_test` and `y_test`. Sequences are ``[n, T, H, W, C]``.

    A .npy file for which `room` is too small is mapped; .npz files, which are compressed, must fit.

    Raises:
        DataError: damaged, pickled, no such array, or of another type or shape.
    """
    try:
        arrays = _load(path, room)
    except _BROKEN as error:
        reason = "it holds pickled objects" if "allow_pickle" in str(error) else str(error).partition("\n")[0]
        raise DataError(f"{path}: cannot be read: {reason}") from error
    images, labels = _find(arrays, _IMAGES), _find(arrays, _LABELS)
    if images is None:
        raise DataError(f"{path}: no array named {', '.join(_IMAGES)}; it holds {', '.join(arrays) or 'nothing'}")
    train = _images(path, images)
    test_images, test_labels = _find(arrays, _TEST_IMAGES), _find(arrays, _TEST_LABELS)
    test = None if test_images is None else _images(path, test_images)
    if labels is None:
        nothing = None if test is None else LabelledImages(test, np.zeros(len(test), np.int64), ())
        return LabelledImages(train, np.zeros(len(train), np.int64), ()), nothing
    values = _labels(path, labels, len(train))
    if test is None:
        (indices,), names = index_labels(values)
        return LabelledImages(train, indices, _named(names, arrays.get("class_names"))), None
    if test_labels is None:
        raise DataError(f"{path}: its test images have no labels ({', '.join(_TEST_LABELS)})")
    (indices, test_indices), names = index_labels(values, _labels(path, test_labels, len(test)))
    names = _named(names, arrays.get("class_names"))
    return LabelledImages(train, indices, names), LabelledImages(test, test_indices, names)


def _named(labels: tuple[str, ...], names: NDArray[np.generic] | None) -> tuple[str, ...]:
    """What `labels` are called in the array `names`, in which numbers stand for places."""
    if names is None or names.dtype.kind != "U" or names.ndim != 1:
        return labels
    if not all(label.isdecimal() and int(label) < len(names) for label in labels):
        return labels
    return tuple(str(names[int(label)]) for label in labels)


def _load(path: Path, room: Room) -> dict[str, NDArray[np.generic]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            Room(room.limit).overflow(str(path), sum(info.file_size for info in archive.infolist()))
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    too_large = room.overflow(str(path), path.stat().st_size) is not None
    return {"images": np.load(path, allow_pickle=False, mmap_mode="r" if too_large else None)}


def _find(arrays: dict[str, NDArray[np.generic]], names: tuple[str, ...]) -> NDArray[np.generic] | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _images(path: Path, array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise DataError(f"{path}: images of type {array.dtype}; uint8 (0 … 255) is needed")
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim == 4 and array.shape[-1] not in (1, 3) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim not in (4, 5) or array.shape[-1] not in (1, 3) or 0 in array.shape:
        raise DataError(
            f"{path}: images of shape {array.shape}; [n, H, W], [n, H, W, C] or [n, T, H, W, C] with C 1 or 3 is needed"
        )
    return array if isinstance(array, np.memmap) else np.ascontiguousarray(array, dtype=np.uint8)


def _labels(path: Path, array: NDArray[np.generic], n: int) -> list[int | str]:
    if array.dtype.kind not in "iuU":
        raise DataError(f"{path}: labels of type {array.dtype}; integers or text are needed")
    flat = array.reshape(-1)
    if len(flat) != n:
        raise DataError(f"{path}: {n} images but {len(flat)} labels")
    return [str(value) if array.dtype.kind == "U" else int(value) for value in flat.tolist()]

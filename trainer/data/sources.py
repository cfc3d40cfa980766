"""Which kind of data a path holds, and the reader of that kind."""

from pathlib import Path
from typing import Protocol

from trainer.data.archives import is_archive
from trainer.data.arrays import read_arrays
from trainer.data.class_list import read_class_list
from trainer.data.decoding import Unjoined, index_labels
from trainer.data.folder import read_folder
from trainer.data.idx import is_idx_folder, read_idx_folder
from trainer.data.images import LabelledImages
from trainer.data.packed_folder import read_packed_folder
from trainer.data.parquet import read_parquet
from trainer.data.room import Room
from trainer.data.web_dataset import is_shard, read_shards
from trainer.errors import DataError

TAKES = (
    "--data takes a folder with IDX files, images, an .npz file, Parquet files or WebDataset shards, or a .zip, .tar, "
    ".npz, .npy or .parquet file"
)
Parts = tuple[LabelledImages, LabelledImages | None]
"""Training images, and the set's own test part where it has one."""


class Reader(Protocol):
    """Reads a part of a set from some of its files; `source` is what the set is called in messages."""

    def __call__(self, source: Path, files: list[Path], *, size: int | None, room: Room) -> Unjoined:
        """Raises DataError."""
        ...


def read_source(path: Path, *, size: int | None, room: Room) -> Parts:
    """The images at `path`, whatever they are packed in; encoded ones are resized to `size` where it is given.

    Those for which `room` is too small are a `numpy.memmap`.

    Raises:
        DataError: nothing there, nothing known, or see the reader.
    """
    if path.is_dir():
        return _read_folder(path, size, room)
    if not path.is_file():
        raise DataError(f"{path}: does not exist; {TAKES}")
    suffix = path.suffix.lower()
    if suffix in (".npz", ".npy"):
        return read_arrays(path, room=room)
    if suffix == ".parquet":
        return _read_files(read_parquet, path, [path], size, room)
    if is_shard(path):
        return _read_files(read_shards, path, [path], size, room)
    if is_archive(path):
        return read_packed_folder(path, size=size, room=room), None
    raise DataError(f"{path}: a file of an unknown kind; {TAKES}")


def _read_folder(path: Path, size: int | None, room: Room) -> Parts:
    if is_idx_folder(path):
        return read_idx_folder(path)
    files = sorted(path.glob("*.npz"))
    if len(files) == 1 and not any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir()):
        return read_arrays(files[0], room=room)
    if files := sorted(path.glob("*.parquet")):
        return _read_files(read_parquet, path, files, size, room)
    if files := sorted(file for pattern in ("*.tar", "*.tar.gz", "*.tgz") for file in path.glob(pattern)):
        return _read_files(read_shards, path, files, size, room)
    return read_folder(path, size=size, room=room), None


def _read_files(read: Reader, path: Path, files: list[Path], size: int | None, room: Room) -> Parts:
    """All of `files`; both parts get the same classes."""
    train_files, test_files = _own_test_part(files)
    train, labels, names = read(path, train_files, size=size, room=room)
    test, test_labels, _ = read(path, test_files, size=size, room=room) if test_files else (None, [], ())
    if test is not None and bool(labels) != bool(test_labels):
        raise DataError(f"{path}: only one of its training and test parts has labels")
    if not labels:
        return train, test
    (indices, test_indices), classes = index_labels(labels, test_labels)
    names = names or read_class_list(path)
    if names and all(isinstance(label, int) and 0 <= label < len(names) for label in (*labels, *test_labels)):
        classes = tuple(names[int(label)] for label in classes)
    held_out = None if test is None else LabelledImages(test.images, test_indices, classes)
    return LabelledImages(train.images, indices, classes), held_out


def _own_test_part(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Files whose names begin with ``test`` or ``val`` are held out, if others remain."""
    test = [file for file in files if file.name.startswith(("test", "val"))]
    train = [file for file in files if file not in test]
    return (train, test) if train else (files, [])

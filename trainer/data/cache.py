"""Decoded sets that do not fit in memory: files that are mapped into it, named after what they were made from.

::

    <folder>/<key>/  train.npy  held_out.npy  labels.npz  set.json
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from runtime.atomic import sync_directory, sync_file
from trainer.data.images import DataSplit, LabelledImages
from trainer.errors import DataError

_PIECE = 2**24
_VERSION = 1

Part = tuple[LabelledImages, NDArray[np.int64]]
"""Images, and the rows of them that make up a part of a split."""


class BuiltMeanwhile(Exception):
    """Another process has just finished the same set.

    Attributes:
        split: the set.
    """

    def __init__(self, split: DataSplit) -> None:
        self.split = split


class ImageCache:
    """The decoded form of one set. Used as a context, on whose exit what is unfinished goes away."""

    def __init__(self, folder: Path, path: Path, *settings: object) -> None:
        """`folder` holds any number of sets; this one is that of the file or folder `path` under `settings`."""
        self._folder, self._path, self._settings = folder, path, settings
        self._lock: IO[str] | None = None
        self._files = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._lock.close()

    def find(self) -> DataSplit | None:
        """The set, if it has been decoded before.

        Raises:
            DataError: its files are damaged.
        """
        if not self._folder.is_dir() or not self._entry.is_dir():
            return None
        try:
            about = json.loads((self._entry / "set.json").read_text(encoding="utf-8"))
            labels = np.load(self._entry / "labels.npz", allow_pickle=False)
            train, held_out = (
                LabelledImages(
                    np.load(self._entry / f"{part}.npy", mmap_mode="r", allow_pickle=False),
                    labels[part],
                    tuple(about["class_names"]),
                )
                for part in ("train", "held_out")
            )
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise DataError(f"{self._entry}: damaged ({error}); remove it to decode {self._path} again") from error
        return DataSplit(about["source"], train, held_out, about["fingerprint"])

    def new_file(self) -> Path:
        """A file for as long as the context; the first call waits until nobody else decodes into the folder.

        Raises:
            BuiltMeanwhile: this set has come to be while waiting.
        """
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / ".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            found = self.find()
            if found is not None:
                raise BuiltMeanwhile(found)
            shutil.rmtree(self._partial, ignore_errors=True)  # of a process that was killed
            self._partial.mkdir()
        self._files += 1
        return self._partial / f"{self._files}.pixels"

    def keep(
        self, source: str, train: Part, held_out: Part, prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    ) -> DataSplit:
        """Write both parts, `prepare` applied to pieces of them, and map them.

        Raises:
            BuiltMeanwhile: see `new_file`.
        """
        scratch = self.new_file().parent
        parts = {"train": train, "held_out": held_out}
        for name, (images, rows) in parts.items():
            _write_npy(scratch / f"{name}.npy", images.images, rows, prepare)
        labels = {name: images.labels[rows] for name, (images, rows) in parts.items()}
        np.savez(scratch / "labels.npz", **labels)  # type: ignore[arg-type]
        mapped = {
            name: LabelledImages(np.load(scratch / f"{name}.npy", mmap_mode="r"), labels[name], images.class_names)
            for name, (images, _) in parts.items()
        }
        written = DataSplit(source, mapped["train"], mapped["held_out"])
        about = {
            "source": source,
            "class_names": list(train[0].class_names),
            "fingerprint": written.fingerprint(),
        }
        (scratch / "set.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        for file in scratch.iterdir():
            if file.suffix == ".pixels":
                file.unlink()
            else:
                sync_file(file)
        sync_directory(scratch)
        scratch.rename(self._entry)
        sync_directory(self._folder)
        found = self.find()
        assert found is not None
        return found

    @property
    def _partial(self) -> Path:
        return self._folder / f".{self._entry.name}"

    @cached_property
    def _entry(self) -> Path:
        digest = hashlib.sha256(repr((_VERSION, str(self._path.resolve()), self._settings)).encode())
        for file, status in _files(self._path):
            digest.update(f"\n{file} {status.st_size} {status.st_mtime_ns}".encode())
        return self._folder / digest.hexdigest()[:32]


def _files(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """`path` or every file below it, in the order of names."""
    if path.is_file():
        yield path.name, path.stat()
        return
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            file = Path(folder, name)
            yield str(file.relative_to(path)), file.stat()


def _write_npy(
    path: Path,
    images: NDArray[np.uint8],
    rows: NDArray[np.int64],
    prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    step = max(1, _PIECE // (images.nbytes // len(images)))
    with path.open("wb") as file:
        for start in range(0, len(rows), step):
            piece = prepare(images[rows[start : start + step]])
            if start == 0:
                header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *piece.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(piece).data)

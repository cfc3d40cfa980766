"""One NumPy archive of arrays: `images`, `labels`, `seeds`, `class_names`; uncompressed, and not held in memory."""

import io
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from runtime.manifest import Output
from runtime.synthesis.drawing import Chunk
from runtime.synthesis.plan import Part
from runtime.synthesis.writers.base import Target, WrittenFile, described, whole_file
from runtime.synthesis.writers.record_file import RecordFile

_FILE = "train.npz"
_PIECE = 2**20


class NpzWriter:
    """``train.npz``. Its arrays grow side by side in files of their own, and are packed into one at the end."""

    sharded: ClassVar[bool] = False
    encoded: ClassVar[bool] = False
    data_files: ClassVar[str | None] = None
    example: ClassVar[str] = """\
import numpy as np

data = np.load("train.npz")
images = data["images"]  # uint8 {shape}; beside it: {label_key}seeds"""

    def __init__(self, target: Target) -> None:
        self._target, rows = target, target.plan.rows
        shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
            "images": (np.dtype(np.uint8), (rows, *target.output.shape)),
            "seeds": (np.dtype(np.uint64), (rows,)),
        }
        if target.class_names:
            shapes["labels"] = (np.dtype(np.int64), (rows,))
        self._arrays = {
            name: RecordFile(target.scratch / f"{name}.npy", _npy_header(dtype, shape))
            for name, (dtype, shape) in shapes.items()
        }

    @staticmethod
    def refusal(_output: Output, _class_names: Sequence[str]) -> str | None:
        """It holds everything."""
        return None

    def write(self, part: Part, chunks: Iterable[Chunk]) -> list[WrittenFile]:
        """See `Writer`."""
        start = part.start
        for chunk in chunks:
            self._arrays["images"].write(start, chunk.images)
            self._arrays["seeds"].write(start, chunk.seeds)
            if chunk.labels is not None:
                self._arrays["labels"].write(start, chunk.labels)
            start += len(chunk)
        for array in self._arrays.values():
            array.sync()
        return []

    def finish(self) -> list[WrittenFile]:
        """Pack the arrays into one archive."""
        with whole_file(self._target, _FILE) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(self._arrays):
                _pack(archive, self._arrays[name].path)
            if self._target.class_names:
                names = io.BytesIO()
                np.save(names, np.array(self._target.class_names), allow_pickle=False)
                archive.writestr(_entry("class_names.npy"), names.getvalue())
        return [described(self._target, _FILE, self._target.plan.rows)]


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry of a fixed date, so that equal sets are equal files."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry


def _pack(archive: zipfile.ZipFile, path: Path) -> None:
    entry = _entry(path.name)
    entry.file_size = path.stat().st_size
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
        shutil.copyfileobj(source, sink, _PIECE)

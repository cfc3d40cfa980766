"""IDX files as MNIST has them: grey stills of one size, labels of one byte (http://yann.lecun.com/exdb/mnist/)."""

import struct
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from runtime.atomic import sync_directory
from runtime.manifest import Output
from runtime.synthesis.drawing import Chunk
from runtime.synthesis.plan import Part
from runtime.synthesis.writers.base import Target, WrittenFile, described
from runtime.synthesis.writers.class_list import list_refusal, write_class_list
from runtime.synthesis.writers.record_file import RecordFile

_IMAGES, _LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


class IdxWriter:
    """``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, uncompressed."""

    sharded: ClassVar[bool] = False
    encoded: ClassVar[bool] = False
    data_files: ClassVar[str | None] = None
    example: ClassVar[str] = """\
import numpy as np

images = np.memmap("train-images-idx3-ubyte", np.uint8, "r", offset=16, shape=({rows}, {height}, {width}))
labels = np.memmap("train-labels-idx1-ubyte", np.uint8, "r", offset=8)"""

    def __init__(self, target: Target) -> None:
        self._target = target
        rows, output = target.plan.rows, target.output
        self._images = RecordFile(
            target.scratch / _IMAGES, struct.pack(">4B3I", 0, 0, 8, 3, rows, output.height, output.width)
        )
        self._labels = RecordFile(target.scratch / _LABELS, struct.pack(">4BI", 0, 0, 8, 1, rows))

    @staticmethod
    def refusal(output: Output, class_names: Sequence[str]) -> str | None:
        """Colours, sequences, rows without labels, more classes than a byte counts."""
        if output.frames > 1:
            return "its files hold single images; npz holds exact sequences; folder, webdataset, parquet animations"
        if output.channels != 1:
            return "its files hold grey images; npz, folder, webdataset and parquet hold colours"
        if not class_names:
            return "a set is images and labels, and the package has no classes; the other formats need none"
        if len(class_names) > 256:
            return (
                f"its labels are bytes, and there are {len(class_names)} classes; the other formats have no such limit"
            )
        return list_refusal(class_names)

    def write(self, part: Part, chunks: Iterable[Chunk]) -> list[WrittenFile]:
        """See `Writer`."""
        start = part.start
        for chunk in chunks:
            assert chunk.labels is not None, "see refusal()"
            self._images.write(start, chunk.images)
            self._labels.write(start, chunk.labels.astype(np.uint8))
            start += len(chunk)
        self._images.sync()
        self._labels.sync()
        return []

    def finish(self) -> list[WrittenFile]:
        """Both files appear under their names, and the names of the classes beside them."""
        for record in (self._images, self._labels):
            if record.path.exists():  # not so where a kill came between this and the end
                record.path.replace(self._target.folder / record.path.name)
        sync_directory(self._target.folder)
        rows = self._target.plan.rows
        return [
            described(self._target, _IMAGES, rows),
            described(self._target, _LABELS, rows),
            *write_class_list(self._target),
        ]

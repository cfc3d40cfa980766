"""Image files, one folder per class, as torchvision's and Keras' readers have it."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from runtime.manifest import Output
from runtime.synthesis.drawing import Chunk
from runtime.synthesis.encoding import encode_row, file_name
from runtime.synthesis.plan import Part
from runtime.synthesis.writers.base import Target, WrittenFile


class FolderWriter:
    """``<class>/<row seed>.png``; without classes the files lie side by side."""

    sharded: ClassVar[bool] = False
    encoded: ClassVar[bool] = True
    data_files: ClassVar[str | None] = "**/*[0-9].*"
    example: ClassVar[str] = """\
from torchvision.datasets import ImageFolder

data = ImageFolder(".")
image, label = data[0]"""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._format = target.plan.image_format or "png"

    @staticmethod
    def refusal(_output: Output, class_names: Sequence[str]) -> str | None:
        """Names that are no folders' names."""
        for name in class_names:
            if not name or name.startswith(".") or {"/", "\\", "\0"} & set(name) or len(name.encode()) > 255:
                return f"the class {name!r} cannot be a folder's name; webdataset and parquet take any"
        folded = {name.casefold() for name in class_names}
        return (
            "two classes differ in case alone, which some file systems ignore"
            if len(folded) < len(class_names)
            else None
        )

    def write(self, _part: Part, chunks: Iterable[Chunk]) -> list[WrittenFile]:
        """See `Writer`. Each file appears whole; the disk is asked once per part, as asking for each file would take
        longer than to make it."""
        for chunk in chunks:
            for row in range(len(chunk)):
                place = self._place(None if chunk.labels is None else int(chunk.labels[row]))
                name = file_name(int(chunk.seeds[row]), self._format)
                temporary = self._target.unfinished / f"{os.getpid()}-{name}"
                temporary.write_bytes(encode_row(chunk.images[row], self._format))
                temporary.replace(place / name)
        os.sync()
        return []

    def finish(self) -> list[WrittenFile]:
        """Nothing remains. Files are not listed one by one."""
        return []

    def _place(self, label: int | None) -> Path:
        if label is None:
            return self._target.folder
        place = self._target.folder / self._target.class_names[label]
        place.mkdir(exist_ok=True)
        return place

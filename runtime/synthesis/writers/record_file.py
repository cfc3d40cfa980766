"""A file of records of one size, into which every part writes at its own place."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.atomic import sync_file


class RecordFile:
    """Records of an array's type, row after row, behind an optional header. Parts may be written in any order by
    several processes; what is not written yet is a hole."""

    def __init__(self, path: Path, header: bytes = b"") -> None:
        self.path, self._header = path, header

    def write(self, start: int, rows: NDArray[np.generic]) -> None:
        """Put `rows` ``[n, …]`` where row `start` begins."""
        size = rows.nbytes // len(rows)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        with os.fdopen(descriptor, "r+b") as file:
            file.write(self._header)
            file.seek(len(self._header) + start * size)
            file.write(np.ascontiguousarray(rows).tobytes())

    def sync(self) -> None:
        """Force what was written to the disk."""
        sync_file(self.path)

"""Room for decoded pixels: in memory up to a limit, in files beyond it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from trainer.errors import DataError

_PIECE = 2**26


@dataclass(frozen=True)
class Room:
    """How much of a set may be in memory.

    Attributes:
        limit: bytes of pixels.
        new_file: names a file for what is more; None: there is no place for files.
    """

    limit: int
    new_file: Callable[[], Path] | None = None

    def overflow(self, source: str, taken: int) -> Path | None:
        """A file for the pixels of `source`, of which `taken` bytes are known, or None where they fit.

        Raises:
            DataError: they do not fit and there is no place for files; with what to do about it.
        """
        if taken <= self.limit:
            return None
        if self.new_file is None:
            raise DataError(
                f"{source}: its images take more than {self.limit / 2**30:.3g} GiB of memory; smaller ones "
                "(--set data.size=64) or fewer of them are needed, or more memory (--set data.memory_gib=16)"
            )
        return self.new_file()


class Pixels:
    """Collects images of one size, in a list until it is too long, then in a file."""

    def __init__(self, source: str, room: Room) -> None:
        """`source` is what the images are part of, for messages."""
        self._source, self._room = source, room
        self._rows: list[NDArray[np.uint8]] = []
        self._count, self._taken, self._channels = 0, 0, 1
        self._side: tuple[int, ...] = ()
        self._file: BinaryIO | None = None
        self._bar: tqdm[Any] | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """One image more, uint8 ``[H, W, C]``, C 1 or 3.

        Raises:
            DataError: it does not fit.
        """
        self._side = pixels.shape[:2]
        self._count += 1
        self._taken += pixels.nbytes
        if self._file is not None:
            self._write(pixels)
            return
        self._rows.append(pixels)
        path = self._room.overflow(self._source, self._taken)
        if path is not None:
            self._spill(path)

    def finish(self) -> NDArray[np.uint8]:
        """All images, ``[n, H, W, C]``, in memory or mapped; grey is repeated over the channels of coloured ones."""
        if self._file is None:
            shape = (self._count, *self._side, max(row.shape[2] for row in self._rows))
            images = np.empty(shape, np.uint8)
            for index, row in enumerate(self._rows):
                images[index] = row
            return images
        self._file.close()
        if self._bar is not None:
            self._bar.close()
        return np.memmap(self._file.name, np.uint8, "r", shape=(self._count, *self._side, self._channels))

    def _spill(self, path: Path) -> None:
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            desc="decoding to disk", unit=" images", initial=self._count, mininterval=0.2 if terminal else 10.0
        )
        self._channels = max(row.shape[2] for row in self._rows)
        self._file = path.open("wb")
        for row in self._rows:
            self._write(row)
        self._rows.clear()

    def _write(self, pixels: NDArray[np.uint8]) -> None:
        assert self._file is not None and self._bar is not None
        if pixels.shape[2] > self._channels:
            self._widen()
        self._file.write(np.broadcast_to(pixels, (*self._side, self._channels)).tobytes())
        self._bar.update()

    def _widen(self) -> None:
        """Repeat what is grey so far over three channels, in a new file."""
        assert self._file is not None and self._room.new_file is not None
        self._file.close()
        grey, self._channels = Path(self._file.name), 3
        self._file = self._room.new_file().open("wb")
        with grey.open("rb") as old:
            while piece := old.read(_PIECE):
                self._file.write(np.frombuffer(piece, np.uint8).repeat(3).tobytes())
        grey.unlink()

"""TensorBoard events of a run, beside `metrics.jsonl`: `tensorboard --logdir RUN/tensorboard`."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_STANDING = frozenset({"images", "steps"})


class EventLog:
    """Scalars and grids by the number of images seen; opened at the first of them.

    A resumed run goes on in a new file whose first event voids the steps that are taken again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def scalars(self, line: Mapping[str, float]) -> None:
        """Every number of a line of `metrics.jsonl` at its `images`."""
        step = int(line["images"])
        for name, value in line.items():
            if name not in _STANDING:
                self._open(step).add_scalar(name, value, step)

    def grid(self, png: bytes, images: int) -> None:
        """A sample grid."""
        with Image.open(io.BytesIO(png)) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        self._open(images).add_image("samples", pixels, images, dataformats="HWC")

    def flush(self) -> None:
        """Write what is buffered."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write what is buffered and forget the file; a later event opens another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, step: int) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # loads for a tenth of a second

            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        return self._writer

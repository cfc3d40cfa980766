"""What a reader sees of a package: its sample grid, or its sequences moving side by side."""

from pathlib import Path

import numpy as np

from runtime.atomic import write_atomic
from runtime.generator import Generator
from runtime.package import Package
from runtime.sequences import encode_animation, make_moving_grid

_COLUMNS, _ROWS = 10, 3
_MIN_SIDE = 40


def write_picture(package: Package, folder: Path, name: str) -> str:
    """Write the picture of `package` into `folder`, and return its file name: `name` with an ending.

    A column of an animation is one class, where there are up to ten of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if package.manifest.output.frames == 1:
        target, content = folder / f"{name}.png", (package.path / "samples.png").read_bytes()
    else:
        target, content = folder / f"{name}.gif", _animation(package)
    write_atomic(target, content)
    return target.name


def _animation(package: Package) -> bytes:
    rows = np.arange(_COLUMNS * _ROWS)
    labels = rows % min(_COLUMNS, max(1, len(package.manifest.classes)))
    sequences = Generator(package, "fp32").sample(rows.astype(np.uint64), labels)
    scale = max(1, -(-_MIN_SIDE // package.manifest.output.height))
    return encode_animation(make_moving_grid(sequences, _COLUMNS, scale=scale, gap=4))

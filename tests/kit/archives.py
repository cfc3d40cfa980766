"""Images as users upload them, and as attackers do."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def png(seed: int = 0, size: int = 8, *, colour: bool = False) -> bytes:
    """A PNG of random pixels."""
    shape = (size, size, 3) if colour else (size, size)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def class_folders(per_class: int = 5, classes: tuple[str, ...] = ("3", "7"), size: int = 8) -> dict[str, bytes]:
    """Members ``CLASS/NUMBER.png``, all of them different."""
    return {
        f"{name}/{number:03d}.png": png(1000 * place + number, size)
        for place, name in enumerate(classes)
        for number in range(per_class)
    }


def zip_of(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def tar_of(members: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def write(folder: Path, name: str, content: bytes) -> Path:
    """A file in `folder`."""
    path = folder / name
    path.write_bytes(content)
    return path

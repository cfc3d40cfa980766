"""NumPy and IDX files, looked into by their headers and without loading what is large."""

import gzip
import struct
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from service.files.archives import Member, Refused, read_members
from service.files.findings import Findings, Tally
from service.files.limits import FileLimits

_IMAGES, _LABELS = ("images", "x_train", "x", "arr_0"), ("labels", "y_train", "y", "arr_1")
_IDX_IMAGES, _IDX_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
_GREY, _COLOUR = 1, 3


def inspect_npz(path: Path, limits: FileLimits) -> Findings:
    """Images uint8 ``[n, H, W]``, ``[n, H, W, C]``, ``[n, C, H, W]`` or ``[n, T, H, W, C]``, and their labels.

    Raises:
        Refused: damaged, pickled, too large, or no such arrays.
    """
    try:
        with path.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if any(info.flag_bits & 1 for info in infos.values()):
                raise Refused("it is encrypted")
            if len(infos) > 100:
                raise Refused(f"{len(infos)} arrays; allowed: up to 100")
            headers = {name: _header(archive, info) for name, info in infos.items()}
            total = sum(prod(shape) * dtype.itemsize for shape, dtype in headers.values())
            if total > limits.unpacked_bytes:
                raise Refused(f"its arrays are larger than {limits.unpacked_bytes >> 20} MiB")
            images, labels = _named(headers, _IMAGES), _named(headers, _LABELS)
            if images is None:
                raise Refused(f"no array called {', '.join(_IMAGES)}; it holds {', '.join(headers) or 'nothing'}")
            tally = _images(*headers[images], limits)
            for name, info in infos.items():
                _read_through(archive, info, headers[name])
            if labels is not None:
                _labels(archive, infos[labels], headers[labels], tally)
            return tally.finish()
    except (OSError, EOFError, ValueError, KeyError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"it cannot be read: {error}") from error


def is_idx_name(name: str) -> bool:
    """Whether a file of an MNIST-style set is called so."""
    plain = name.removesuffix(".gz").replace(".idx", "-idx")
    return plain in (_IDX_IMAGES, _IDX_LABELS, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def inspect_idx(path: Path, limits: FileLimits) -> Findings:
    """An archive with the training images and labels of an MNIST-style set, compressed with gzip or not.

    Raises:
        Refused: one is missing or damaged, or they differ in number.
    """
    found: dict[str, tuple[tuple[int, ...], bytes]] = {}
    for member in read_members(path, limits):
        if is_idx_name(member.path.name):
            plain = member.path.name.removesuffix(".gz").replace(".idx", "-idx")
            if plain in (_IDX_IMAGES, _IDX_LABELS):
                found[plain] = _idx(member, limits)
    for name in (_IDX_IMAGES, _IDX_LABELS):
        if name not in found:
            raise Refused(f"{name} or {name}.gz is missing")
    (shape, _), (label_shape, labels) = found[_IDX_IMAGES], found[_IDX_LABELS]
    if len(shape) != 3 or len(label_shape) != 1 or shape[0] != label_shape[0]:
        raise Refused(f"images of shape {list(shape)} and labels of shape {list(label_shape)} do not go together")
    tally = Tally("idx_archive")
    _check_amount(shape[0], shape[1:], limits)
    for label, count in zip(*np.unique(np.frombuffer(labels, np.uint8), return_counts=True), strict=True):
        tally.add(shape[2], shape[1], grey=True, label=str(label), count=int(count))
    return tally.finish()


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], "np.dtype[Any]"]:
    with archive.open(info) as file:
        version = npy_format.read_magic(file)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise Refused(f"array {info.filename!r} holds pickled objects; allowed: numbers and text")
    return shape, dtype


def _images(shape: tuple[int, ...], dtype: "np.dtype[Any]", limits: FileLimits) -> Tally:
    if dtype != np.uint8:
        raise Refused(f"images of type {dtype}; allowed: uint8 (0 … 255)")
    if len(shape) == 3:
        shape = (*shape, _GREY)
    if len(shape) == 4 and shape[-1] not in (_GREY, _COLOUR) and shape[1] in (_GREY, _COLOUR):
        shape = (shape[0], *shape[2:], shape[1])
    if len(shape) not in (4, 5) or shape[-1] not in (_GREY, _COLOUR) or 0 in shape:
        raise Refused(f"images of shape {list(shape)}; allowed: [n, H, W], [n, H, W, C], [n, C, H, W], C 1 or 3")
    height, width = shape[-3], shape[-2]
    _check_amount(shape[0], (height, width), limits)
    tally = Tally("npz")
    tally.add(width, height, grey=shape[-1] == _GREY, label=None, count=shape[0])
    return tally


def _labels(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: tuple[tuple[int, ...], "np.dtype[Any]"], tally: Tally
) -> None:
    shape, dtype = header
    if dtype.kind not in "iuU" or prod(shape) != tally.images:
        raise Refused(f"labels {dtype}{list(shape)} for {tally.images} images; allowed: one integer or text for each")
    with archive.open(info) as file:
        values = npy_format.read_array(file, allow_pickle=False).reshape(-1)
    for value, count in zip(*np.unique(values, return_counts=True), strict=True):
        tally.classes[str(value)] += int(count)


def _read_through(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: tuple[tuple[int, ...], "np.dtype[Any]"]
) -> None:
    """Read a member to its end, where its checksum is; what is longer than its header says is a bomb."""
    shape, dtype = header
    allowed = prod(shape) * dtype.itemsize + 65_536
    size = 0
    with archive.open(info) as file:
        while piece := file.read(1 << 20):
            size += len(piece)
            if size > allowed:
                raise Refused(f"array {info.filename!r} is longer than its header says")
    if size < prod(shape) * dtype.itemsize:
        raise Refused(f"array {info.filename!r} is cut short")


def _idx(member: Member, limits: FileLimits) -> tuple[tuple[int, ...], bytes]:
    content = member.content
    if member.path.name.endswith(".gz"):
        import io

        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = _at_most(file, limits.unpacked_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused(f"{member.path}: cannot be read: {error}") from error
    dimensions = content[3] if len(content) > 3 else 0
    header = 4 + 4 * dimensions
    if content[:3] != b"\0\0\x08" or len(content) < header:
        raise Refused(f"{member.path}: not an IDX file of bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    if prod(shape) != len(content) - header or not shape:
        raise Refused(f"{member.path}: {len(content) - header} bytes of data, its header says {list(shape)}")
    return shape, content[header:] if dimensions == 1 else b""


def _at_most(file: IO[bytes] | gzip.GzipFile, limit: int) -> bytes:
    content = file.read(limit + 1)
    if len(content) > limit:
        raise Refused(f"it unpacks to more than {limit >> 20} MiB")
    return content


def _check_amount(count: int, sides: tuple[int, ...], limits: FileLimits) -> None:
    if count > limits.images:
        raise Refused(f"{count:,} images; allowed: up to {limits.images:,}")
    if max(sides) > limits.side:
        raise Refused(f"images of {sides[1]}x{sides[0]} pixels; allowed: sides up to {limits.side}")


def _named(headers: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in headers), None)

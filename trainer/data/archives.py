"""What lies in a zip or tar file, read without unpacking it, and without trusting it.

Refused are absolute and parent paths, links, devices, encrypted and sparse members, a member beyond
`MAX_MEMBER` bytes, more than `MAX_MEMBERS` of them, and contents more than `MAX_RATIO` times the file's size:
real bytes are counted, not declared ones.
"""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tarfile import EmptyHeaderError, TruncatedHeaderError  # type: ignore[attr-defined]
from typing import Self

from trainer.errors import DataError

MAX_MEMBER = 64 * 2**20
MAX_MEMBERS = 5_000_000
MAX_RATIO = 100
_RATIO_FROM = 64 * 2**20  # small archives may be as dense as they like
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError)


@dataclass(frozen=True)
class Member:
    """One file of an archive: its path inside, and its bytes."""

    path: PurePosixPath
    content: bytes


def is_archive(path: Path) -> bool:
    """Whether `path` is a zip or a tar file, compressed or not."""
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except _BROKEN:
        return False


def read_members(path: Path, suffixes: frozenset[str]) -> Iterator[Member]:
    """The visible files in `path` that end in one of `suffixes` (lower case), in the archive's order.

    Raises:
        DataError: the archive is damaged, or holds what the module's docstring refuses.
    """
    guard = _Guard(path)
    members = _zip_members if zipfile.is_zipfile(path) else _tar_members
    try:
        yield from members(path, suffixes, guard)
    except _BROKEN as error:
        raise DataError(f"{path}: the archive cannot be read: {error}") from error


class _Guard:
    """Counts what comes out of an archive."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._allowed = max(_RATIO_FROM, MAX_RATIO * path.stat().st_size)
        self._members, self._bytes = 0, 0

    def check(self, name: str, *, refused: str | None = None) -> PurePosixPath:
        """The path of a member that may be read; `refused` says what it is if it may not."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise DataError(f"{self._path}: more than {MAX_MEMBERS:,} files")
        if refused:
            raise DataError(f"{self._path}: {name!r} is {refused}; only plain files are read")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
            raise DataError(f"{self._path}: {name!r} points outside the archive")
        return path

    def count(self, name: str, size: int) -> None:
        """Note `size` bytes of member `name`."""
        self._bytes += size
        if size > MAX_MEMBER:
            raise DataError(f"{self._path}: {name!r} is larger than {MAX_MEMBER // 2**20} MiB")
        if self._bytes > self._allowed:
            raise DataError(f"{self._path}: its contents are more than {MAX_RATIO} times as large as itself")


def _zip_members(path: Path, suffixes: frozenset[str], guard: _Guard) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            refused = "encrypted" if info.flag_bits & 1 else None
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                refused = "a link or a device"
            inside = guard.check(info.filename, refused=refused)
            if not info.is_dir() and _wanted(inside, suffixes):
                with archive.open(info) as file:
                    content = file.read(MAX_MEMBER + 1)
                guard.count(info.filename, len(content))
                yield Member(inside, content)


def _tar_members(path: Path, suffixes: frozenset[str], guard: _Guard) -> Iterator[Member]:
    with tarfile.open(
        path, "r|*", tarinfo=_WholeInfo
    ) as archive:  # a stream: nothing is read twice, nor before it is counted
        for info in archive:
            plain = info.isreg() and not info.issparse()
            inside = guard.check(info.name, refused=None if plain or info.isdir() else "a link or a device")
            if plain:
                guard.count(info.name, info.size)
                file = archive.extractfile(info) if _wanted(inside, suffixes) else None
                if file is not None:
                    content = file.read()
                    if len(content) != info.size:
                        raise EOFError(f"{info.name} is cut short")
                    yield Member(inside, content)


class _WholeInfo(tarfile.TarInfo):
    """A header that misses the end of a file which is cut short; `tarfile` takes that for the archive's end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """See `tarfile.TarInfo`."""
        try:
            return super().fromtarfile(tarfile)
        except (TruncatedHeaderError, EmptyHeaderError) as error:
            raise EOFError("it is cut short, its end mark is missing") from error


def _wanted(path: PurePosixPath, suffixes: frozenset[str]) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix.lower() in suffixes

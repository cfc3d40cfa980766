"""Members of a zip or tar file, read without unpacking it and without trusting it.

Refused are absolute and parent paths, links, devices, encrypted and sparse members, too many of them, one that is too
large, and contents too large for the file: bytes are counted as they come out, whatever the headers declare.
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
from typing import IO, Self

from service.files.limits import FileLimits

_RATIO_FROM = 64 << 20
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError)


class Refused(ValueError):
    """The file cannot be taken; the text says what is wrong with it."""


@dataclass(frozen=True)
class Member:
    """One plain file of an archive."""

    path: PurePosixPath
    content: bytes

    @property
    def suffix(self) -> str:
        """Lower case, with the dot."""
        return self.path.suffix.lower()


def is_zip(path: Path) -> bool:
    """Whether it ends as zip files do."""
    return zipfile.is_zipfile(path)


def is_tar(path: Path) -> bool:
    """Whether it begins as tar files do, compressed or not."""
    try:
        with tarfile.open(path, "r|*") as archive:
            return archive.next() is not None
    except BROKEN:
        return False


def read_members(path: Path, limits: FileLimits) -> Iterator[Member]:
    """The visible plain files of an archive, in its order.

    Raises:
        Refused: see the module's docstring, or the archive is damaged.
    """
    guard = _Guard(path, limits)
    try:
        yield from _zip_members(path, guard) if is_zip(path) else _tar_members(path, guard)
    except BROKEN as error:
        raise Refused(f"the archive cannot be read: {error}") from error


class _Guard:
    """Counts what comes out."""

    def __init__(self, path: Path, limits: FileLimits) -> None:
        self._limits = limits
        self._allowed = min(limits.unpacked_bytes, max(_RATIO_FROM, limits.ratio * path.stat().st_size))
        self._members, self._bytes = 0, 0

    def check(self, name: str, refused: str | None) -> PurePosixPath:
        self._members += 1
        if self._members > self._limits.images:
            raise Refused(f"more than {self._limits.images:,} members")
        if refused:
            raise Refused(f"member {name[:200]!r} is {refused}; allowed: plain files")
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in path.parts[:1]:
            raise Refused(f"member {name[:200]!r} points outside the archive")
        return path

    def read(self, name: str, file: IO[bytes]) -> bytes:
        """All of a member, in pieces, so that nothing large is made before it is counted."""
        pieces, size = [], 0
        while piece := file.read(1 << 16):
            size += len(piece)
            self._bytes += len(piece)
            if size > self._limits.member_bytes:
                raise Refused(f"member {name[:200]!r} is larger than {self._limits.member_bytes >> 20} MiB")
            self._check_sum()
            pieces.append(piece)
        return b"".join(pieces)

    def skip(self, size: int) -> None:
        """Bytes of a member that is passed over, which a stream reads all the same."""
        self._bytes += size
        self._check_sum()

    def _check_sum(self) -> None:
        if self._bytes > self._allowed:
            raise Refused(
                f"its contents are larger than {self._allowed >> 20} MiB: more than {self._limits.ratio} times "
                f"the file, or {self._limits.unpacked_bytes >> 20} MiB"
            )


def _zip_members(path: Path, guard: _Guard) -> Iterator[Member]:
    with path.open("rb") as opened, zipfile.ZipFile(opened) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            refused = "encrypted" if info.flag_bits & 1 else None
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                refused = "a link or a device"
            inside = guard.check(info.filename, refused)
            if not info.is_dir() and _visible(inside):
                with archive.open(info) as file:
                    yield Member(inside, guard.read(info.filename, file))


def _tar_members(path: Path, guard: _Guard) -> Iterator[Member]:
    with tarfile.open(path, "r|*", tarinfo=_WholeInfo) as archive:
        for info in archive:
            plain = info.isreg() and not info.issparse()
            inside = guard.check(info.name, None if plain or info.isdir() else "a link or a device")
            if not plain:
                continue
            file = archive.extractfile(info) if _visible(inside) else None
            if file is None:
                guard.skip(info.size)
                continue
            content = guard.read(info.name, file)
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


def _visible(path: PurePosixPath) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.parts)

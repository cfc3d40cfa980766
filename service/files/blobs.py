"""Contents of files under their SHA-256, in a directory: ``<root>/ab/abcdef…``."""

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from runtime.atomic import sync_directory

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20


class BlobStore(Protocol):
    """Immutable contents by digest. Methods block."""

    def adopt(self, content: Path, digest: str) -> None:
        """Keep the file `content`, whose SHA-256 is `digest`; it is gone from where it was, or may be deleted there.

        Raises:
            OSError: it cannot be kept.
        """
        ...

    def read(self, digest: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The content, or the part of it, in pieces.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def local(self, digest: str, folder: Path) -> Path:
        """A file on this machine with the content: the store's own, which is not to be changed, or one in `folder`.

        Raises:
            FileNotFoundError: there is none.
        """
        ...

    def delete(self, digest: str) -> None:
        """Forget a content; one that is not there is forgotten already."""
        ...

    def older_than(self, seconds: float) -> Iterator[str]:
        """Digests of the contents that have been here for longer."""
        ...


class DirectoryBlobs:
    """See `BlobStore`; on a local or mounted file system.

    Attributes:
        incoming: folder for what is being received, on the same file system.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.incoming = root / ".incoming"
        self.incoming.mkdir(parents=True, exist_ok=True)

    def adopt(self, content: Path, digest: str) -> None:
        """See `BlobStore.adopt`; `content` has been forced to the disk by who wrote it."""
        path = self._path(digest)
        if path.exists():
            os.utime(path)
            content.unlink()
            return
        path.parent.mkdir(exist_ok=True)
        content.replace(path)
        sync_directory(path.parent)
        sync_directory(self._root)

    def read(self, digest: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `BlobStore.read`."""
        with self._path(digest).open("rb") as file:
            file.seek(start)
            left = length
            while left is None or left > 0:
                piece = file.read(_CHUNK if left is None else min(left, _CHUNK))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece

    def local(self, digest: str, folder: Path) -> Path:
        """See `BlobStore.local`."""
        path = self._path(digest)
        if not path.is_file():
            raise FileNotFoundError(path)
        return path

    def delete(self, digest: str) -> None:
        """See `BlobStore.delete`."""
        self._path(digest).unlink(missing_ok=True)

    def older_than(self, seconds: float) -> Iterator[str]:
        """See `BlobStore.older_than`."""
        before = time.time() - seconds
        for path in sorted(self._root.glob("[0-9a-f][0-9a-f]/*")):
            if _DIGEST.fullmatch(path.name) and path.stat().st_mtime < before:
                yield path.name

    def _path(self, digest: str) -> Path:
        assert _DIGEST.fullmatch(digest), digest
        return self._root / digest[:2] / digest


@contextmanager
def incoming_folder(root: Path, name: str) -> Iterator[Path]:
    """An empty folder for one upload, gone at the end with all that is in it."""
    folder = root / name
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_bytes(path: Path) -> int:
    """Bytes that may still be written where `path` is."""
    return shutil.disk_usage(path).free

"""Contents of files under their SHA-256, in an object store that fsspec knows: ``s3://bucket/prefix``."""

import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from service.settings import SettingsError

_CHUNK = 4 << 20


class ObjectBlobs:
    """See `service.files.blobs.BlobStore`. An object appears whole or not at all, as such stores promise.

    Raises:
        SettingsError: no such protocol, a package for it is missing, or the place cannot be reached.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs

            self._files: Any
            self._files, self._root = url_to_fs(url)
            if not self._root.strip("/"):
                raise SettingsError(f"setting file_store: {url} names no bucket; allowed: s3://BUCKET/PREFIX")
            self._files.ls(self._root.partition("/")[0])
        except ImportError as error:
            raise SettingsError(f"setting file_store: {url} needs more packages: pip install 'latentd[s3]'") from error
        except SettingsError:
            raise
        except Exception as error:
            raise SettingsError(f"setting file_store: {url} cannot be reached: {type(error).__name__}") from error

    def adopt(self, content: Path, digest: str) -> None:
        """See `BlobStore.adopt`. Written again where it is there already, which makes it new again."""
        path = self._path(digest)
        self._files.put_file(str(content), path)
        if self._files.info(path)["size"] != content.stat().st_size:
            raise OSError(f"{path} was not stored whole")
        content.unlink()

    def read(self, digest: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `BlobStore.read`."""
        with self._files.open(self._path(digest), "rb") as file:
            file.seek(start)
            left = length
            while left is None or left > 0:
                piece = file.read(_CHUNK if left is None else min(left, _CHUNK))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece

    def local(self, digest: str, folder: Path) -> Path:
        """See `BlobStore.local`: a copy."""
        path = folder / f".{digest}"
        if not path.exists():
            temporary = folder / f".{digest}.{uuid.uuid4().hex}"
            self._files.get_file(self._path(digest), str(temporary))
            temporary.replace(path)
        return path

    def delete(self, digest: str) -> None:
        """See `BlobStore.delete`."""
        try:
            self._files.rm_file(self._path(digest))
        except FileNotFoundError:
            return

    def older_than(self, seconds: float) -> Iterator[str]:
        """See `BlobStore.older_than`."""
        before = time.time() - seconds
        try:
            found = self._files.find(self._root, detail=True)
        except FileNotFoundError:
            return
        for path, info in found.items():
            changed = info.get("LastModified") or info.get("mtime") or info.get("created")
            stamp = changed.timestamp() if isinstance(changed, datetime) else float(changed or 0)
            if stamp < before:
                yield path.rpartition("/")[2]

    def _path(self, digest: str) -> str:
        return f"{self._root}/{digest[:2]}/{digest}"

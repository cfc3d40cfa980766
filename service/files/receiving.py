"""Bytes from a client to a temporary file: counted, hashed, forced to the disk."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.errors import DiskFull, InvalidRequest, TooLarge
from service.files.blobs import free_bytes

_WRITTEN_AT_ONCE = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Received:
    """A whole upload."""

    path: Path
    size: int
    sha256: str


async def receive(chunks: AsyncIterator[bytes], path: Path, *, limit: int, reserve: int) -> Received:
    """Write what comes to `path`.

    Args:
        limit: most bytes.
        reserve: bytes of the disk that stay free.

    Raises:
        TooLarge: more than `limit` came.
        InvalidRequest: nothing came.
        DiskFull: the disk is full, or would be.
    """
    digest, size, waiting = hashlib.sha256(), 0, bytearray()
    with full_disk_foreseen(), path.open("xb") as file:

        def write(content: bytes) -> None:
            if free_bytes(path.parent) < reserve + len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            digest.update(content)
            file.write(content)

        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"file: got over {limit} bytes; allowed: up to {limit}", param="file")
            waiting += chunk
            if len(waiting) >= _WRITTEN_AT_ONCE:
                await asyncio.to_thread(write, bytes(waiting))
                waiting.clear()
        if not size:
            raise InvalidRequest("file: got no bytes; allowed: at least 1", param="file")

        def finish() -> None:
            write(bytes(waiting))
            file.flush()
            os.fsync(file.fileno())

        await asyncio.to_thread(finish)
    return Received(path, size, digest.hexdigest())


@contextmanager
def full_disk_foreseen() -> Iterator[None]:
    """A full disk as an error that says: come back."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull("the disk of the server is full; try again later", retry_after_s=60.0) from error

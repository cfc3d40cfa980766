"""Writes that another process sees whole or not at all."""

import os
import uuid
from pathlib import Path


def write_atomic(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace `path` with `content`: temporary file in the same folder, fsync, rename, fsync of the folder.

    Args:
        mode: permission bits before the process's umask takes its own away; 0o600 for secrets.
    """
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Force a folder's entries to the disk, so that a rename in it survives a power cut."""
    sync_file(path)

"""Locks that die with their holders: the kernel drops a `flock` when the last process that has the file open ends.

So nobody waits for a heartbeat to run out, and a killed worker leaves nothing stale behind. A descriptor inherited by
a child keeps the lock until the child has ended, too.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the file `path` alone, among threads and processes; waits for it."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path: Path) -> FileIO | None:
    """The file `path`, locked until it is closed by this process and by whoever inherits it; None where it is held.

    Its folder is made where it is absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = FileIO(path, "a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file

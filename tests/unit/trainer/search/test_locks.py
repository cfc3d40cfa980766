"""Locks that end with their holders."""

import subprocess
import sys
from pathlib import Path

from trainer.search.locks import exclusive, try_lock

SLEEP = "import sys; sys.stdin.read()"


def test_a_lock_has_one_holder_and_is_free_when_closed(tmp_path: Path) -> None:
    path = tmp_path / "new" / ".worker"
    first = try_lock(path)
    assert first is not None
    assert try_lock(path) is None
    first.close()
    second = try_lock(path)
    assert second is not None
    second.close()


def test_a_child_keeps_the_lock_of_a_parent_that_is_gone_and_frees_it_by_dying(tmp_path: Path) -> None:
    path = tmp_path / ".worker"
    lock = try_lock(path)
    assert lock is not None
    child = subprocess.Popen([sys.executable, "-c", SLEEP], stdin=subprocess.PIPE, pass_fds=[lock.fileno()])
    lock.close()  # as the kernel does when the parent is killed
    assert try_lock(path) is None
    child.kill()
    child.wait()
    free = try_lock(path)
    assert free is not None
    free.close()


def test_exclusive_waits_for_nobody_after_it_is_left(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path / ".claims"):
            assert try_lock(tmp_path / ".claims") is None

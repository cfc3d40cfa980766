"""Optuna's journal in one file that survives SIGKILL and any number of processes.

Optuna advises against SQLite for parallel studies (its FAQ, issues 820 and 4002: "database is locked", a queued trial
taken twice). Its own journal file locks by a second file that a killed process leaves behind (issue 5921: thirty
seconds of waiting by now), and a line torn by a kill becomes the first half of the next one, after which the study
cannot be read any more (issue 5138). Here the lock is the kernel's, and a torn line is cut off by the next writer.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend


class LockedJournal(BaseJournalBackend):
    """One JSON object per line; what has no line end was never written."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at `path`."""
        self._path = path
        self._path.touch()
        self._starts = [0]  # of each log so far, and of the one to come

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Logs from that number on."""
        number = min(log_number_from, len(self._starts) - 1)
        with self._path.open("rb") as file:
            file.seek(self._starts[number])
            for line in file:
                if not line.endswith(b"\n"):  # torn, or being written
                    return
                number += 1
                if number == len(self._starts):
                    self._starts.append(self._starts[-1] + len(line))
                if number > log_number_from:
                    yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write `logs` to the disk, behind the last whole line."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_torn_line(file.fileno())
            file.seek(0, os.SEEK_END)
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())


def _cut_torn_line(descriptor: int) -> None:
    """Drop what follows the last line end."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)

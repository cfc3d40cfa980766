"""The folder of a job: all that its process is told, and all that it says.

::

    job.json        what to do: id, kind, attempt, request
    data/           its images, where it reads any
    events.jsonl    one JSON object per line, appended by the process (below)
    result.json     written last by a process that has done its work
    packages/       a store of its own, in which a fine-tuning publishes
    dataset/        the data set of a synthesis
    run/            whatever the process needs to go on where it was
    output.log      its stdout and stderr
    process.json    pid and start of the newest process

A line of ``events.jsonl`` has ``sequence`` (1, 2, … without a gap, over all processes of the job: a process that goes
on reads where the file ends and drops a last line that is cut short), ``time`` (seconds since the epoch), ``type``
(``message``, ``metrics``, ``progress``, ``samples``, ``checkpoint``), ``level`` (``info``, ``warn``, ``error``),
``message`` and, if it likes, ``data`` (an object). A process saves and ends when it gets SIGTERM. Exit code 0 and a
``result.json`` mean success, 3 a missed quality gate, a signal that it is worth another try, anything else failure.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from runtime.atomic import write_atomic
from service.jobs.records import Job, Level, NewEvent

JOB_FILE, EVENTS_FILE, RESULT_FILE = "job.json", "events.jsonl", "result.json"
_LONGEST_LINE, _MOST_LINES = 64 * 1024, 500
_LONGEST_LOG = 4000
_TYPES = frozenset({"message", "metrics", "progress", "samples", "checkpoint"})
_LEVELS: tuple[Level, ...] = get_args(Level)


class JobFolder:
    """Paths and small files of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.job, self.events, self.result = path / JOB_FILE, path / EVENTS_FILE, path / RESULT_FILE
        self.data, self.packages, self.dataset, self.run = (
            path / name for name in ("data", "packages", "dataset", "run")
        )
        self.log, self.process = path / "output.log", path / "process.json"

    def prepare(self, job: Job) -> None:
        """Make the folder and say in it what is to be done."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = {"id": job.id, "kind": job.kind, "attempt": job.attempt, "request": dict(job.request)}
        write_atomic(self.job, (json.dumps(content, indent=2) + "\n").encode())

    def read_result(self) -> dict[str, Any] | None:
        """What the process said at its end; None: nothing, or no JSON object."""
        try:
            content = json.loads(self.result.read_bytes())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def end_of_log(self) -> str:
        """The last lines of the process's output."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _LONGEST_LOG))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True)
class Tail:
    """New events and the sequence number of the last of them."""

    events: list[NewEvent]
    sequence: int


class EventTail:
    """Reads ``events.jsonl`` while it grows; lines that are not yet whole wait for the next time."""

    def __init__(self, path: Path, sequence: int) -> None:
        """`sequence`: of the last line that has been taken already."""
        self._path = path
        self._offset = 0
        self._sequence = sequence

    def read(self) -> Tail:
        """The lines that came since the last `accept`, some hundreds at most."""
        self._next_offset = self._offset
        events: list[NewEvent] = []
        sequence = self._sequence
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                while len(events) < _MOST_LINES and (line := file.readline()).endswith(b"\n"):
                    self._next_offset += len(line)
                    found = _parse(line)
                    if found is not None and found[0] > sequence:
                        sequence = found[0]
                        events.append(found[1])
        except FileNotFoundError:
            pass
        return Tail(events, sequence)

    def accept(self, tail: Tail) -> None:
        """`tail`, the newest that was read, has been stored."""
        self._offset, self._sequence = self._next_offset, tail.sequence


def _parse(line: bytes) -> tuple[int, NewEvent] | None:
    """Number and event of a line; None for one that is no event, e.g. cut short by a power cut."""
    if len(line) > _LONGEST_LINE:
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or type(entry.get("sequence")) is not int:
        return None
    kind, level, data, time = entry.get("type"), entry.get("level"), entry.get("data"), entry.get("time")
    return entry["sequence"], NewEvent(
        message=str(entry.get("message", "")),
        level=next((known for known in _LEVELS if known == level), "info"),
        type=kind if kind in _TYPES else "message",
        data=_finite(data) if isinstance(data, Mapping) else None,
        created_at=float(time) if isinstance(time, int | float) else None,
    )


def _finite(value: Any) -> Any:
    """`value` with NaN and infinities, which JSON does not have, as null."""
    if isinstance(value, dict):
        return {str(key): _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value

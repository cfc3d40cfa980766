"""The folder of a job: all that its process is told, and all that it says.

::

    job.json        the order: `runtime.fine_tuning.FineTuneOrder`, or `service.jobs.data_set_order.DataSetOrder`
    data/           its images, where it reads any
    events.jsonl    what the process says, see `runtime.event_file`
    result.json     written last by a process that has done its work
    packages/       a store of its own, in which a fine-tuning publishes
    dataset/        the data set of a synthesis
    output.log      stdout and stderr of its processes
    process.json    pid and start of the newest process

and whatever a process needs to go on where the one before it was. A process saves and ends when it gets SIGTERM; its
exit code is a `runtime.fine_tuning.ExitCode`.
"""

import base64
import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from runtime.event_file import Event as Line
from runtime.event_file import read_events
from runtime.fine_tuning import EVENTS_FILE, RESULT_FILE
from service.jobs.records import Level, NewEvent

_MOST_LINES = 500
_LONGEST_LOG = 4000
_LARGEST_PICTURE = 256 << 10
_LEVELS: dict[str, Level] = {
    "failed": "error",
    "error": "error",
    "refused": "error",
    "alarm": "warn",
    "warning": "warn",
}


class JobFolder:
    """Paths and small files of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events, self.result = path / EVENTS_FILE, path / RESULT_FILE
        self.data, self.packages, self.data_set = path / "data", path / "packages", path / "dataset"
        self.log, self.process = path / "output.log", path / "process.json"

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
    """New events, the number of the last of them, and where the file was read to."""

    events: list[NewEvent]
    sequence: int
    offset: int


class EventTail:
    """Reads ``events.jsonl`` while it grows."""

    def __init__(self, path: Path, sequence: int) -> None:
        """`sequence`: number of the last line that has been taken already."""
        self._path = path
        self._offset = 0
        self._sequence = sequence

    def read(self) -> Tail:
        """What came since the last `accept`, some hundreds of events at most."""
        offset = self._offset
        while True:
            lines, offset = read_events(self._path, offset, most=_MOST_LINES)
            new = [line for line in lines if line.seq > self._sequence]
            if new or not lines:
                return Tail(
                    [event_of(line, self._path.parent) for line in new], new[-1].seq if new else self._sequence, offset
                )

    def accept(self, tail: Tail) -> None:
        """`tail`, the newest that was read, has been stored."""
        self._offset, self._sequence = tail.offset, tail.sequence


def event_of(line: Line, folder: Path) -> NewEvent:
    """A line as an event for clients; the picture that it names, if any, comes with it."""
    data = {"type": line.type, **line.data}
    if line.type == "grid":
        data["b64_png"] = _picture(folder, line.data.get("file"))
    try:
        created_at = datetime.fromisoformat(line.time).timestamp()
    except ValueError:
        created_at = None
    return NewEvent(
        message=_described(line),
        level=_LEVELS.get(line.type, "info"),
        type=line.type,
        data=data,
        created_at=created_at,
    )


def _described(line: Line) -> str:
    """One line for people."""
    for name in ("message", "text", "reason"):
        if isinstance(line.data.get(name), str):
            return str(line.data[name])
    if line.type == "refused":
        missed = [
            f"{entry.get('expression')} (it is {entry.get('value')})"
            for entry in line.data.get("requirements", ())
            if isinstance(entry, dict) and not entry.get("met")
        ]
        return f"requirements are missed: {', '.join(missed)}"
    numbers = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in line.data.items()
        if isinstance(value, str | int | float) and len(str(value)) <= 80
    ]
    return f"{line.type}: {', '.join(numbers[:8])}" if numbers else line.type


def _picture(folder: Path, name: object) -> str | None:
    """A PNG file of the folder in base64; None where there is none, or a large one."""
    if not isinstance(name, str):
        return None
    path = (folder / name).resolve()
    try:
        if not path.is_relative_to(folder.resolve()) or path.stat().st_size > _LARGEST_PICTURE:
            return None
        return base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return None

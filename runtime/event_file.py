"""A file of events: one JSON object per line, numbered without gaps, appended by one process and followed by others.

::

    {"seq": 1, "time": "2026-01-31T12:00:00.123Z", "attempt": 1, "type": "started", "data": {…}}

A line counts once its line end is there. What a killed writer left unfinished was never a line: the next writer cuts it
off and goes on with the next number, so that a reader that has seen number n goes on after n, whatever happened.
"""

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Event(BaseModel):
    """One line."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(ge=1, description="1, 2, 3, … over the whole file, whoever wrote it")
    time: str = Field(description="when it was written: UTC, ISO 8601, milliseconds")
    attempt: int = Field(ge=1, description="which attempt at the job wrote it")
    type: str = Field(min_length=1, description="what happened; decides what `data` holds")
    data: dict[str, Any] = Field(description="plain JSON values; `message`, where there is one, is for people")


def read_events(path: Path, offset: int = 0, *, most: int = 100_000) -> tuple[list[Event], int]:
    """Whole lines from byte `offset` on, and the offset behind the last of them, to go on from.

    Args:
        path: the file; one that does not exist yet holds no events.
        offset: 0, or what an earlier call returned.
        most: events returned at once.
    """
    events: list[Event] = []
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return events, offset
    with file:
        file.seek(offset)
        while len(events) < most and (line := file.readline()).endswith(b"\n"):
            try:
                event = Event.model_validate_json(line)
            except ValidationError:  # what a power cut left: its writer will cut it off
                break
            events.append(event)
            offset += len(line)
    return events, offset


class EventFile:
    """The writer. There is one at a time; who holds the folder sees to that.

    Attributes:
        last: the newest event, whoever wrote it; None: there is none yet.
    """

    def __init__(self, path: Path, attempt: int = 1) -> None:
        """Open `path`, which need not exist, and cut off what an earlier writer left unfinished.

        Raises:
            OSError: the file may not be written.
        """
        self.path, self._attempt = path, attempt
        self._end = 0
        self.last: Event | None = None
        while True:
            events, self._end = read_events(path, self._end)
            if not events:
                break
            self.last = events[-1]
        if path.exists() and path.stat().st_size > self._end:
            os.truncate(path, self._end)

    def append(self, kind: str, /, **data: Any) -> Event:
        """Write one event of type `kind`; numbers that are not finite become null.

        It is on the disk when this returns. A line that could not be written whole, as on a full disk, is taken back.

        Raises:
            OSError: it could not be written.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        number = self.last.seq + 1 if self.last else 1
        event = Event(seq=number, time=now, attempt=self._attempt, type=kind, data=_finite(data))
        line = (json.dumps(event.model_dump(), ensure_ascii=False, allow_nan=False) + "\n").encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _write_whole(descriptor, line)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, self._end)
            raise
        finally:
            os.close(descriptor)
        self.last, self._end = event, self._end + len(line)
        return event


def _write_whole(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _finite(value: Any) -> Any:
    """`value` with null for every number that JSON has no word for."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The folder of a data set while it grows: one run at a time, a plan that may not change, a journal of finished parts.

All of this lies in ``.synthesis`` inside the folder, and is gone once the set is complete.
"""

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from runtime.atomic import sync_directory, write_atomic
from runtime.synthesis.errors import SynthesisError, WorkplaceTaken
from runtime.synthesis.plan import Plan, difference
from runtime.synthesis.writers.base import WrittenFile

CARD_FILE, DATASET_FILE = "README.md", "dataset.json"
_SCRATCH, _PLAN, _JOURNAL, _LOCK = ".synthesis", "plan.json", "journal.jsonl", "lock"


class PartRecord(BaseModel):
    """A finished part: what was written, and what the filters did on the way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    part: int
    files: list[WrittenFile] = []
    attempts: int = 1
    dropped: Counter[str] = Counter()


class Workplace:
    """See the module's docstring; made by `open_workplace`.

    Attributes:
        folder: of the data set.
        scratch: for what is kept between runs until the set is complete.
        unfinished: for files that are being written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.scratch = folder, folder / _SCRATCH
        self.unfinished = self.scratch / "unfinished"
        self._journal = self.scratch / _JOURNAL

    @property
    def complete(self) -> bool:
        """Whether the set is finished."""
        return (self.folder / DATASET_FILE).exists()

    def adopt(self, plan: Plan) -> None:
        """Begin `plan`, or go on with it.

        Raises:
            SynthesisError: the folder holds a set, finished or not, of another plan.
        """
        shutil.rmtree(self.unfinished, ignore_errors=True)
        self.unfinished.mkdir()
        old = self._plan()
        if old is None:
            write_atomic(self.scratch / _PLAN, (plan.model_dump_json(indent=2) + "\n").encode())
        elif changed := difference(old, plan):
            state = "holds" if self.complete else "was begun as"
            raise SynthesisError(
                f"{self.folder}: {state} another data set: {changed}. Repeat the options, or name another folder"
            )

    def finished(self) -> dict[int, PartRecord]:
        """The parts that are done and whose files are still there, by index."""
        if not self._journal.exists():
            return {}
        records = {}
        for line in self._journal.read_bytes().splitlines():
            try:
                record = PartRecord.model_validate_json(line)
            except ValidationError:  # the line on which a power cut fell
                continue
            if all(self._holds(file) for file in record.files):
                records[record.part] = record
        return records

    def note(self, record: PartRecord) -> None:
        """Remember a finished part."""
        with self._journal.open("ab") as file:
            file.write(b"\n" * (file.tell() > 0) + record.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())

    def close(self, card: str, dataset: str) -> None:
        """Write the data card and, last, the machine-readable description that makes the set complete."""
        write_atomic(self.folder / CARD_FILE, card.encode())
        write_atomic(self.folder / DATASET_FILE, dataset.encode())

    def _plan(self) -> Plan | None:
        try:
            if self.complete:
                return Plan.model_validate(json.loads((self.folder / DATASET_FILE).read_bytes())["plan"])
            if (self.scratch / _PLAN).exists():
                return Plan.model_validate_json((self.scratch / _PLAN).read_bytes())
        except (ValueError, KeyError, TypeError) as error:
            raise SynthesisError(f"{self.folder}: its plan cannot be read; name another folder") from error
        return None

    def _holds(self, file: WrittenFile) -> bool:
        path = self.folder / file.name
        return path.exists() and path.stat().st_size == file.size

    def tidy(self) -> None:
        """Remove what only an unfinished set needs, and a folder in which nothing was begun."""
        if self.complete or not (self.scratch / _PLAN).exists():
            shutil.rmtree(self.scratch, ignore_errors=True)
            with suppress(OSError):  # not empty
                self.folder.rmdir()


@contextmanager
def open_workplace(folder: Path) -> Iterator[Workplace]:
    """Take `folder`, made where it is absent, for this run alone.

    Raises:
        SynthesisError: it holds other files.
        WorkplaceTaken: another run is at work in it.
    """
    place = Workplace(folder)
    strangers = [] if place.complete or place.scratch.exists() else _entries(folder)
    if strangers:
        raise SynthesisError(f"{folder}: holds other files ({strangers[0]}, …); an absent or empty folder is needed")
    place.scratch.mkdir(parents=True, exist_ok=True)
    sync_directory(folder)
    with (place.scratch / _LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise WorkplaceTaken(f"{folder}: another run is at work in it") from error
        try:
            yield place
        finally:
            place.tidy()


def _entries(folder: Path) -> list[str]:
    if folder.exists() and not folder.is_dir():
        return [folder.name]
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []

"""The folder of a job: a run folder with an order and events."""

import shutil
from pathlib import Path
from typing import Any

from runtime.atomic import write_atomic
from runtime.event_file import EventFile
from runtime.fine_tuning import EVENTS_FILE, FineTuneConfigError, FineTuneOrder, FineTuneResult, read_order
from runtime.package import Package
from trainer.checkpoints import read_checkpoint
from trainer.errors import CheckpointDamaged, RunHeld
from trainer.run_folder import RunFolder

_EVIDENCE = ("report.html", "evaluation.json", "samples.png")


class JobFolder(RunFolder):
    """See `trainer.finetune` for what it holds.

    Attributes:
        before: what the package scored on the images before it was fine-tuned.
        packaged: the checkpoint that goes into the package.
        refused: evidence of a package that was not published.
        images: decoded images that do not fit in memory, and a judge; here, not beside the folder, so that they go with
            it.
    """

    may_change = (
        *RunFolder.may_change,
        "data.path",  # the images themselves are compared
        "start_from",
        "fine_tuning.max_minutes",
        "fine_tuning.checkpoint_seconds",
        "fine_tuning.require",
        "fine_tuning.on_miss",
        "fine_tuning.precisions",
        "fine_tuning.device",
        "fine_tuning.licence",
        "fine_tuning.intended_use",
    )

    asked_for = ("job", "base", "fine_tuning.")

    def __init__(self, path: Path, order: FineTuneOrder) -> None:
        super().__init__(path)
        self.order = order
        self.before = path / "before.json"
        self.packaged = path / "packaged.pt"
        self.refused = path / "refused"
        self.images = path / "images"
        self._events: EventFile | None = None

    def open_events(self) -> None:
        """Begin to write events; the caller holds the folder."""
        self._events = EventFile(self.path / EVENTS_FILE, self.order.attempt)

    def tell(self, kind: str, /, **data: Any) -> None:
        """Append an event.

        Raises:
            OSError: the disk is full, or the like.
        """
        assert self._events is not None, "events are written by who holds the folder"
        self._events.append(kind, **data)

    @property
    def last_told(self) -> str | None:
        """Type of the newest event of any attempt."""
        assert self._events is not None, "events are read by who holds the folder"
        return self._events.last.type if self._events.last else None

    def check_attempt(self) -> None:
        """See that the order has not been given to a later attempt.

        Raises:
            RunHeld: it has, or there is no order any more.
        """
        try:
            current = read_order(self.path)
        except FineTuneConfigError as error:
            raise RunHeld(f"the order is gone: {error}") from error
        if (current.job, current.attempt) != (self.order.job, self.order.attempt):
            raise RunHeld(
                f"{self.path}: this is attempt {self.order.attempt} at {self.order.job}, the order is now that of "
                f"attempt {current.attempt} at {current.job}"
            )

    def set_damage_aside(self) -> str | None:
        """Let training go on from what can still be read: from the best state where only the latest is damaged, and
        from the beginning where the best one is, since later states count on it.

        Returns:
            What is to be said of it; None where all is sound.
        """
        states = (self.checkpoint, self.best, self.healthy)
        damaged = [path for path in states if path.exists() and not _is_sound(path)]
        if not damaged:
            return None
        for path in damaged:
            path.replace(path.with_name(f"{path.name}.damaged"))
        names = ", ".join(path.name for path in damaged)
        if self.best in damaged or (self.checkpoint in damaged and not self.best.exists()):
            for path in states:
                path.unlink(missing_ok=True)
            return f"{names} cannot be read: training begins anew"
        if self.checkpoint in damaged:
            write_atomic(self.checkpoint, self.best.read_bytes())
            return f"{names} cannot be read: training goes on from its best state"
        return f"{names} cannot be read: training goes on without it"

    def without_places(self, text: str) -> str:
        """`text` with images, package and folder by their names alone: events are shown to clients."""
        for place in (self.order.data, self.order.package, str(self.path), self.order.store):
            text = text.replace(place, Path(place).name)
        return text

    def keep_evidence(self, package: Package) -> Path:
        """Copy what shows why `package` is refused out of it; the report among it."""
        self.refused.mkdir(exist_ok=True)
        for name in _EVIDENCE:
            shutil.copyfile(package.path / name, self.refused / name)
        return self.refused / _EVIDENCE[0]

    def conclude(self, result: FineTuneResult) -> None:
        """Write `result.json`: the job cannot end otherwise any more."""
        self.write_result(result.model_dump(mode="json"))


def _is_sound(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except CheckpointDamaged:
        return False
    return True

"""What a loop records, told as events of the job beside TensorBoard's."""

import time
from collections.abc import Mapping

from trainer.checkpoints import Position
from trainer.events import EventLog
from trainer.finetune.job import JobFolder
from trainer.finetune.watch import HeldOutWatch
from trainer.watch import QUALITY_PREFIX

_PROGRESS_SECONDS = 2.0


class ToldEvents(EventLog):
    """See `EventLog`; metrics, measurements and grids become events, too."""

    def __init__(self, job: JobFolder) -> None:
        super().__init__(job.tensorboard)
        self._job = job

    def scalars(self, line: Mapping[str, float]) -> None:
        """See `EventLog.scalars`."""
        super().scalars(line)
        seen = {name: value for name, value in line.items() if not name.startswith(QUALITY_PREFIX)}
        measured = {
            name.removeprefix(QUALITY_PREFIX): value for name, value in line.items() if name.startswith(QUALITY_PREFIX)
        }
        self._job.tell("metrics", **seen)
        if measured:
            self._job.tell("measurement", images=line["images"], **measured)

    def grid(self, png: bytes, images: int) -> None:
        """See `EventLog.grid`; the file is in the folder by now."""
        super().grid(png, images)
        self._job.tell("grid", images=images, file=f"{self._job.samples.name}/{images:010d}.png")


class Narrator:
    """Called after every step: how far training is, which state is kept, and whether the job is still ours."""

    def __init__(self, job: JobFolder, watch: HeldOutWatch) -> None:
        self._job, self._watch = job, watch
        self._told_at = time.monotonic()
        self._kept: int | None = watch.state["images"] if watch.state["best"] is not None else None
        self._alarms = len(job.read_alarms())

    def after_step(self, position: Position, progress: float) -> None:
        """Tell what there is to tell.

        Raises:
            RunHeld: see `JobFolder.check_attempt`.
        """
        state = self._watch.state
        if state["best"] is not None and state["images"] != self._kept:
            self._kept = state["images"]
            self._job.tell("checkpoint", images=self._kept, kernel_distance=state["best"], file=self._job.best.name)
        now = time.monotonic()
        if now - self._told_at < _PROGRESS_SECONDS:
            return
        self._told_at = now
        self._job.check_attempt()
        seconds = position["seconds"]
        left = seconds / progress * (1 - progress) if progress > 0 else None
        share = round(min(progress, 1.0), 4)
        self._job.tell("progress", images=position["images"], seconds=seconds, share=share, seconds_left=left)
        alarms = self._job.read_alarms()
        for alarm in alarms[self._alarms :]:
            self._job.tell("alarm", **alarm)
        self._alarms = len(alarms)

"""The training loop: batches in, checkpoints out. It knows nothing of what a step does inside."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from runtime.atomic import write_atomic
from trainer.alarm import Alarm
from trainer.checkpoints import (
    Checkpoint,
    Position,
    random_state,
    read_checkpoint,
    restore_random_state,
    write_checkpoint,
)
from trainer.data import DataSplit
from trainer.data.batches import make_batches
from trainer.data.order import DataOrder
from trainer.errors import CollapseError, ConfigError, RunError
from trainer.events import EventLog
from trainer.grids import draw_grid
from trainer.progress import ProgressBar, progress_bar
from trainer.ranks import SharedDraws
from trainer.recipe import Recipe
from trainer.run_folder import RunFolder
from trainer.signals import StopRequest
from trainer.systems.base import System
from trainer.watch import Watch

_GRID_STATISTICS = 2_000  # a grid on the way may cost a second, not ten


class Loop:
    """One run of a system over a data set, resumed from the run folder's checkpoint where there is one.

    The caller seeds PyTorch before it builds `system`; a resumed run takes its random state from the checkpoint.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: DataSplit,
        system: System,
        run: RunFolder,
        fabric: Fabric,
        *,
        watch: Watch | None = None,
        events: EventLog | None = None,
    ) -> None:
        """Put the images on the device and load the checkpoint.

        Args:
            watch: what is looked at on the way; None: what the recipe asks for.
            events: where metrics and grids go beside the run's files; None: TensorBoard.

        Raises:
            RunError: the checkpoint is damaged, or was made from other images.
        """
        self._recipe, self._data, self._system, self._run, self._fabric = recipe, data, system, run, fabric
        self._leads = fabric.is_global_zero
        self._fingerprint = data.fingerprint()
        self.position: Position = {"images": 0, "steps": 0, "seconds": 0.0}
        self._alarm, self._watch, self._events = (
            Alarm(recipe.alarm, recipe.objective.idle_loss(recipe.training.batch_size)),
            watch or Watch(recipe, data.train),
            events or EventLog(run.tensorboard),
        )
        self._sums: dict[str, tuple[Tensor, int]] = {}
        steps = recipe.training
        if steps.batch_size % (fabric.world_size * steps.accumulate):
            parts = f", each in {steps.accumulate} parts" if steps.accumulate > 1 else ""
            raise ConfigError(
                f"training.batch_size: {steps.batch_size} cannot be shared by {fabric.world_size} processes{parts}"
            )
        rows = steps.batch_size // fabric.world_size
        own = slice(fabric.global_rank * rows, (fabric.global_rank + 1) * rows)
        order = DataOrder(len(data.train), recipe.seed)
        self._batches = make_batches(data.train, order, steps.batch_size, fabric.device, own)
        if run.checkpoint.exists():
            self._load(run.checkpoint)
        fabric.barrier()
        if self._leads:
            run.forget_after(self.position["images"])

    @property
    def progress(self) -> float:
        """Share of the budget used so far; 1 or more is the end, as is a target that was reached."""
        if self._watch.state["reached"]:
            return 1.0
        return self._recipe.budget.progress(self.position["images"], self.position["seconds"])

    @property
    def target_reached(self) -> bool:
        """Whether `budget.target` has ended the run."""
        return self._watch.state["reached"]

    def run(self, stop: StopRequest, on_step: Callable[[Position], None] | None = None) -> bool:
        """Train until the budget is used or `stop` is requested, and save a checkpoint either way.

        Args:
            stop: looked at after every step.
            on_step: called after every step.

        Returns:
            Whether the run is finished: its budget is used or its target reached.

        Raises:
            CollapseError: the run collapsed again after it had been rolled back.
        """
        self._refuse_if_exhausted()
        if self._recipe.alarm.enabled and not self._run.healthy.exists():
            self._write(self._run.healthy)
        before = self.position["seconds"]
        begun = saved = time.monotonic()
        logged_at = (begun, self.position["images"])
        with progress_bar(shown=self._leads) as bar:
            bar.update(self.position["images"], self.progress)
            while self.progress < 1 and not self._largest(stop.requested):
                share = self.progress
                self._step()
                self.position["seconds"] = self._largest(before + time.monotonic() - begun)
                if self._crossed(self._recipe.training.log_every) or self._look_due() or self.progress >= 1:
                    self._look(logged_at, bar)
                    logged_at = (time.monotonic(), self.position["images"])
                    if time.monotonic() - saved >= self._recipe.training.checkpoint_seconds:
                        self.save()
                        saved = time.monotonic()
                if math.floor(self.progress * self._recipe.training.grids) > math.floor(
                    share * self._recipe.training.grids
                ):
                    self._draw_grid()
                bar.update(self.position["images"], self.progress)
                if on_step:
                    on_step(self.position)
        self.save()
        self._events.close()
        return self.progress >= 1

    def settle(self) -> tuple[Path, Position]:
        """Load what is to be packaged into the system: the last state, or the best one where that is kept.

        Returns:
            Its checkpoint, and how far training had come there.
        """
        if self._recipe.training.keep == "best" and self._run.best.exists():
            checkpoint = read_checkpoint(self._run.best)
            self._system.load_state_dict(checkpoint["system"])
            return self._run.best, checkpoint["position"]
        return self._run.checkpoint, self.position

    def save(self) -> None:
        """Write the checkpoint."""
        self._write(self._run.checkpoint)
        self._events.flush()

    def _write(self, path: Path) -> None:
        if not self._leads:  # all hold the same
            return
        checkpoint: Checkpoint = {
            "position": self.position,
            "system": self._system.state_dict(),
            "order": self._batches.state_dict(),
            "random": random_state(self._fabric),
            "data_fingerprint": self._fingerprint,
            "alarm": self._alarm.state_dict(),
            "quality": self._watch.state,
        }
        write_checkpoint(path, checkpoint)

    def _step(self) -> None:
        images, labels = self._batches.next()
        with self._shared_draws(len(images)):
            metrics = self._system.step(images, labels, self.position["steps"], self._rate)
        self.position["steps"] += 1
        self.position["images"] += self._recipe.training.batch_size
        for name, value in metrics.items():
            total, count = self._sums.get(name, (torch.zeros_like(value), 0))
            self._sums[name] = (total + value, count + 1)

    def _shared_draws(self, rows: int) -> AbstractContextManager[object]:
        """Within it, several processes share out what is drawn at random for their `rows` of a batch."""
        rank, world = self._fabric.global_rank, self._fabric.world_size
        return SharedDraws(rank, world, rows, self._recipe.training.accumulate) if world > 1 else nullcontext()

    def _largest(self, value: float) -> float:
        """The largest `value` of all processes, so that they stop and slow down together."""
        if self._fabric.world_size == 1:
            return value
        return self._reduced(value, "max")

    def _reduced(self, value: float, how: str) -> float:
        """`value` over all processes."""
        result = self._fabric.all_reduce(torch.tensor(float(value), dtype=torch.float64), reduce_op=how)
        assert isinstance(result, Tensor)
        return float(result)

    @property
    def _rate(self) -> float:
        """Factor of every learning rate now."""
        return self._recipe.learning_rate.factor(self.progress) * self._alarm.rate

    @property
    def _before(self) -> int:
        """Images seen before the last step."""
        return self.position["images"] - self._recipe.training.batch_size

    def _crossed(self, every: int) -> bool:
        """Whether the last step passed a multiple of `every` images."""
        return self.position["images"] // every > self._before // every

    def _look_due(self) -> bool:
        return self._watch.is_due(self._before, self.position["images"])

    def _look(self, since: tuple[float, int], bar: ProgressBar) -> None:
        """Record what the run has come to, keep it where it is healthy or the best, go back where it is neither."""
        seen = {name: float(total) / count for name, (total, count) in self._sums.items()}
        self._sums = {}
        if self._fabric.world_size > 1:
            seen = {name: self._reduced(value, "mean") for name, value in seen.items()}
        if self._leads and all(map(math.isfinite, seen.values())):
            images, end = self.position["images"], self.progress >= 1
            seen |= self._watch.look(self._system.averaged_generator, self._before, images, finished=end)
        seen, self._watch.state = self._fabric.broadcast((seen, self._watch.state))
        verdict = self._alarm.judge(seen)
        if verdict == "alarm":
            self._roll_back(seen, bar)
            return
        self._record(seen, since)
        if verdict == "healthy":
            if self._watch.improves(seen, self.position["images"]) and self._recipe.training.keep == "best":
                self._write(self._run.best)
            if self._recipe.alarm.enabled and "variety" in seen:
                self._write(self._run.healthy)

    def _record(self, seen: dict[str, float], since: tuple[float, int]) -> None:
        images = self.position["images"]
        line = {
            "images": images,
            "steps": self.position["steps"],
            "seconds": round(self.position["seconds"], 3),
            "images_per_second": round((images - since[1]) / max(time.monotonic() - since[0], 1e-9), 1),
            "learning_rate_factor": self._rate,
            **seen,
        }
        if self._leads:
            self._run.log(line)
            self._events.scalars(line)

    def _roll_back(self, seen: dict[str, float], bar: ProgressBar) -> None:
        """Return to the best or the last healthy state, all but the time and the number of alarms.

        Raises:
            CollapseError: this was one alarm too many.
        """
        collapsed_at, reasons = self.position["images"], "; ".join(self._alarm.reasons)
        alarms, seconds = self._alarm.count, self.position["seconds"]
        self._fabric.barrier()
        source = self._run.best if self._run.best.exists() else self._run.healthy
        if source.exists():
            self._load(source)
        self._alarm.load_state_dict(self._alarm.state_dict(), alarms=alarms)
        self.position["seconds"] = seconds
        if self._leads:
            self._run.log_alarm(
                {
                    "alarm": self._alarm.count,
                    "images": collapsed_at,
                    "seconds": round(seconds, 3),
                    "reasons": self._alarm.reasons,
                    "back_to": self.position["images"],
                    "rate": self._alarm.rate,
                    "seen": {name: value if math.isfinite(value) else str(value) for name, value in seen.items()},
                }
            )
            self._run.forget_after(self.position["images"])
        self._fabric.barrier()
        self._events.close()
        self.save()
        bar.note(f"alarm after {collapsed_at:,} images: {reasons}")
        self._refuse_if_exhausted()
        bar.note(f"back to {self.position['images']:,} images, every learning rate times {self._alarm.rate:g}")

    def _refuse_if_exhausted(self) -> None:
        if self._alarm.exhausted or (self._alarm.count and not self._run.healthy.exists()):
            alarms = self._run.read_alarms()
            times = "once" if len(alarms) == 1 else f"{len(alarms)} times, at last"
            raise CollapseError(
                f"--run {self._run.path}: collapsed {times}{',' * (len(alarms) == 1)} after "
                f"{alarms[-1]['images']:,} images: {'; '.join(alarms[-1]['reasons'])}. The state of "
                f"{alarms[-1]['back_to']:,} images is kept in it; start a new run with lower learning rates, e.g. "
                "--set generator_optimizer.learning_rate=1e-4"
            )

    def _draw_grid(self) -> None:
        if not self._leads:
            return
        png = draw_grid(self._system.averaged_generator(_GRID_STATISTICS), self._data.train.spec.classes)
        write_atomic(self._run.samples / f"{self.position['images']:010d}.png", png)
        self._events.grid(png, self.position["images"])

    def _load(self, path: Path) -> None:
        checkpoint = read_checkpoint(path)
        if checkpoint["data_fingerprint"] != self._fingerprint:
            raise RunError(
                f"--run {self._run.path}: begun on other images than {self._data.source} holds now; restore them, "
                "or name a new folder"
            )
        self.position = checkpoint["position"]
        self._system.load_state_dict(checkpoint["system"])
        self._batches.load_state_dict(checkpoint["order"])
        self._alarm.load_state_dict(checkpoint["alarm"])
        self._watch.state = checkpoint["quality"]
        restore_random_state(checkpoint["random"], self._fabric)

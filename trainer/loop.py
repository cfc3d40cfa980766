"""The training loop: batches in, checkpoints out. It knows nothing of what a step does inside."""

import math
import time
from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor

from runtime.atomic import write_atomic
from trainer.checkpoints import (
    Checkpoint,
    Position,
    random_state,
    read_checkpoint,
    restore_random_state,
    write_checkpoint,
)
from trainer.data import DataSplit
from trainer.data.order import DataOrder
from trainer.errors import RunError
from trainer.grids import draw_grid
from trainer.progress import progress_bar
from trainer.recipe import Recipe
from trainer.run_folder import RunFolder
from trainer.signals import StopRequest
from trainer.systems.base import System

_GRID_STATISTICS = 2_000  # a grid on the way may cost a second, not ten


class Loop:
    """One run of a system over a data set, resumed from the run folder's checkpoint where there is one.

    The caller seeds PyTorch before it builds `system`; a resumed run takes its random state from the checkpoint.
    """

    def __init__(self, recipe: Recipe, data: DataSplit, system: System, run: RunFolder, fabric: Fabric) -> None:
        """Put the images on the device and load the checkpoint.

        Raises:
            RunError: the checkpoint is damaged, or was made from other images.
        """
        self._recipe, self._data, self._system, self._run, self._fabric = recipe, data, system, run, fabric
        self._images = torch.from_numpy(data.train.images).movedim(-1, -3).contiguous().to(fabric.device)
        self._labels = torch.from_numpy(data.train.labels).to(fabric.device)
        self._order = DataOrder(len(data.train), recipe.seed)
        self._fingerprint = data.fingerprint()
        self.position: Position = {"images": 0, "steps": 0, "seconds": 0.0}
        self._sums: dict[str, tuple[Tensor, int]] = {}
        if run.checkpoint.exists():
            self._resume()
        run.forget_after(self.position["images"])

    @property
    def progress(self) -> float:
        """Share of the budget used so far; 1 or more is the end."""
        return self._recipe.budget.progress(self.position["images"], self.position["seconds"])

    def run(self, stop: StopRequest, on_step: Callable[[Position], None] | None = None) -> bool:
        """Train until the budget is used or `stop` is requested, and save a checkpoint either way.

        Args:
            stop: looked at after every step.
            on_step: called after every step.

        Returns:
            Whether the budget is used.

        Raises:
            RunError: a loss is no longer a number.
        """
        before = self.position["seconds"]
        begun = saved = time.monotonic()
        logged_at = (begun, self.position["images"])
        with progress_bar() as bar:
            bar.update(self.position["images"], self.progress)
            while self.progress < 1 and not stop.requested:
                share = self.progress
                self._step()
                self.position["seconds"] = before + time.monotonic() - begun
                if self._crossed(self._recipe.training.log_every) or self.progress >= 1:
                    logged_at = self._log(logged_at)
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
        return self.progress >= 1

    def save(self) -> None:
        """Write the checkpoint."""
        checkpoint: Checkpoint = {
            "position": self.position,
            "system": self._system.state_dict(),
            "order": self._order.state_dict(),
            "random": random_state(self._fabric),
            "data_fingerprint": self._fingerprint,
        }
        write_checkpoint(self._run.checkpoint, checkpoint)

    def _step(self) -> None:
        batch = self._recipe.training.batch_size
        indices = self._order.next(batch).to(self._fabric.device)
        metrics = self._system.step(
            self._images[indices],
            self._labels[indices],
            self.position["steps"],
            self._recipe.learning_rate.factor(self.progress),
        )
        self.position["steps"] += 1
        self.position["images"] += batch
        for name, value in metrics.items():
            total, count = self._sums.get(name, (torch.zeros_like(value), 0))
            self._sums[name] = (total + value, count + 1)

    def _crossed(self, every: int) -> bool:
        """Whether the last step passed a multiple of `every` images."""
        images = self.position["images"]
        return images // every > (images - self._recipe.training.batch_size) // every

    def _log(self, since: tuple[float, int]) -> tuple[float, int]:
        now, images = time.monotonic(), self.position["images"]
        means = {name: float(total) / count for name, (total, count) in self._sums.items()}
        self._sums = {}
        for name, value in means.items():
            if not math.isfinite(value):
                raise RunError(
                    f"--run {self._run.path}: {name} became {value} after {images:,} images; start a new run with "
                    "lower learning rates, e.g. --set generator_optimizer.learning_rate=1e-4"
                )
        self._run.log(
            {
                "images": images,
                "steps": self.position["steps"],
                "seconds": round(self.position["seconds"], 3),
                "images_per_second": round((images - since[1]) / max(now - since[0], 1e-9), 1),
                "learning_rate_factor": self._recipe.learning_rate.factor(self.progress),
                **means,
            }
        )
        return now, images

    def _draw_grid(self) -> None:
        png = draw_grid(self._system.averaged_generator(_GRID_STATISTICS), self._data.train.spec.classes)
        write_atomic(self._run.samples / f"{self.position['images']:010d}.png", png)

    def _resume(self) -> None:
        checkpoint = read_checkpoint(self._run.checkpoint)
        if checkpoint["data_fingerprint"] != self._fingerprint:
            raise RunError(
                f"--run {self._run.path}: begun on other images than {self._data.source} holds now; restore them, "
                "or name a new folder"
            )
        self.position = checkpoint["position"]
        self._system.load_state_dict(checkpoint["system"])
        self._order.load_state_dict(checkpoint["order"])
        restore_random_state(checkpoint["random"], self._fabric)

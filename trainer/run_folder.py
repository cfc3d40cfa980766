"""The run folder: a contract of files, and the rules under which a command may go on in it.

::

    config.yaml     resolved recipe
    metrics.jsonl   one line per interval: images, seconds, images_per_second, losses, …
    checkpoint.pt   the latest state, see `trainer.checkpoints`
    healthy.pt      the latest state in which samples were found healthy, see `trainer.alarm`
    best.pt         the state of the best quality so far, where the recipe keeps it
    alarms.jsonl    one line per alarm: what was seen, where the run went back to
    tensorboard/    the metrics and grids as TensorBoard events
    samples/        grids with fixed seeds, one row per class, named by images seen
    result.json     written last: the published package
    ../.images/     decoded sets that do not fit in memory, shared by the runs beside it
"""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from runtime.atomic import write_atomic
from trainer.config import differences, to_yaml
from trainer.errors import RunError, RunHeld
from trainer.recipe import Recipe

# What may differ when a run goes on: how long, and what is made of the result.
_MAY_CHANGE = (
    "budget.",
    "export.",
    "evaluation.",
    "package.",
    "device.",
    "description",
    "training.checkpoint_seconds",
    "data.memory_gib",
)


class RunFolder:
    """Paths and small files of one run.

    Attributes:
        may_change: beginnings of the fields that may differ when a run goes on.
        asked_for: of those that a message names before others, which follow from them.
    """

    may_change: tuple[str, ...] = _MAY_CHANGE
    asked_for: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.jsonl"
        self.checkpoint = path / "checkpoint.pt"
        self.healthy = path / "healthy.pt"
        self.best = path / "best.pt"
        self.alarms = path / "alarms.jsonl"
        self.tensorboard = path / "tensorboard"
        self.samples = path / "samples"
        self.result = path / "result.json"
        self.images = path.parent / ".images"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and hold it for this process.

        Raises:
            RunHeld: another process holds it.
            RunError: the path is a file.
        """
        try:
            self.samples.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise RunError(f"--run {self.path}: a file is in the way; name a folder") from error
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunHeld(f"--run {self.path}: another process is training in this folder") from error
            yield

    def adopt(self, recipe: Recipe) -> None:
        """Write the resolved recipe, after checking that it goes on with what the folder holds.

        Raises:
            RunError: the folder was begun with other settings; the first differing field is named.
        """
        if self.config.exists() and self.checkpoint.exists():
            old = yaml.safe_load(self.config.read_text(encoding="utf-8"))
            changed = differences(old, recipe.model_dump(mode="json"))
            for path in sorted(changed, key=lambda path: not path.startswith(self.asked_for)):
                before, after = changed[path]
                if not path.startswith(self.may_change):
                    raise RunError(
                        f"--run {self.path}: begun with {path}={before}, now {path}={after}; repeat the first "
                        "command to resume it, or name a new folder"
                    )
        write_atomic(self.config, to_yaml(recipe).encode())

    def log(self, line: dict[str, float]) -> None:
        """Append one line to `metrics.jsonl`."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """Every line of `metrics.jsonl`."""
        if not self.metrics.exists():
            return []
        return [json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines()]

    def log_alarm(self, line: dict[str, Any]) -> None:
        """Append one line to `alarms.jsonl`."""
        with self.alarms.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read_alarms(self) -> list[dict[str, Any]]:
        """Every line of `alarms.jsonl`."""
        if not self.alarms.exists():
            return []
        return [json.loads(line) for line in self.alarms.read_text(encoding="utf-8").splitlines()]

    def forget_after(self, images: int) -> None:
        """Drop lines and grids of steps that are about to be taken again."""
        if self.metrics.exists():
            lines = self.metrics.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["images"] <= images]
            write_atomic(self.metrics, "".join(kept).encode())
        for grid in self.samples.glob("*.png"):
            if grid.stem.isdecimal() and int(grid.stem) > images:
                grid.unlink()

    def read_result(self) -> dict[str, Any] | None:
        """What `write_result` wrote, None for a run that is not finished."""
        if not self.result.exists():
            return None
        result: dict[str, Any] = json.loads(self.result.read_text(encoding="utf-8"))
        return result

    def write_result(self, result: dict[str, Any]) -> None:
        """Mark the run as finished."""
        write_atomic(self.result, (json.dumps(result, indent=2) + "\n").encode())

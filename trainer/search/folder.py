"""Where a search keeps what, see `trainer.search`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from runtime.atomic import write_atomic
from trainer.config import differences, parse, to_yaml
from trainer.errors import RunError
from trainer.search.locks import exclusive
from trainer.search.search_config import SearchConfig


@dataclass(frozen=True)
class Task:
    """What the process of one training is asked to do, `trial.json`.

    Attributes:
        settings: all overrides of the recipe.
        first_seed: row seed of the first image that is scored.
        steps: at how many points the objective is measured, the end included.
    """

    recipe: str
    settings: tuple[str, ...]
    first_seed: int
    steps: int


@dataclass(frozen=True)
class Outcome:
    """How a training ended, `score.json`.

    Attributes:
        scores: every measure of `trainer.search.objective.Score` by name; empty where there is none.
        verdict: empty, or why there is none.
        collapsed: whether the settings are to blame, rather than the machine.
        images: training images seen.
        seconds: of training.
    """

    scores: dict[str, float] = field(default_factory=dict)
    verdict: str = ""
    collapsed: bool = False
    images: int = 0
    seconds: float = 0.0


class TaskFolder:
    """A run folder with what a search adds to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.worker = path / ".worker"
        self.log = path / "log.txt"
        self.values = path / "values.jsonl"
        self._task = path / "trial.json"
        self._outcome = path / "score.json"

    @property
    def search(self) -> "SearchFolder":
        """The folder of the whole search."""
        return SearchFolder(self.path.parents[1])

    def order(self, task: Task) -> None:
        """Write what is to be done."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self._task, json.dumps(asdict(task), indent=2).encode())

    def task(self) -> Task:
        """What is to be done."""
        content = json.loads(self._task.read_text(encoding="utf-8"))
        return Task(**content | {"settings": tuple(content["settings"])})

    def finish(self, outcome: Outcome) -> None:
        """Write how it ended."""
        write_atomic(self._outcome, json.dumps(asdict(outcome), indent=2).encode())

    def outcome(self) -> Outcome | None:
        """How it ended, if it has."""
        if not self._outcome.exists():
            return None
        return Outcome(**json.loads(self._outcome.read_text(encoding="utf-8")))

    def log_values(self, step: int, scores: dict[str, float]) -> None:
        """Append what was measured at `step`."""
        with self.values.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **scores}) + "\n")

    def read_values(self) -> dict[int, dict[str, float]]:
        """What was measured so far, by step; a line that is being written is not there yet."""
        if not self.values.exists():
            return {}
        lines = self.values.read_text(encoding="utf-8").splitlines(keepends=True)
        values = [json.loads(line) for line in lines if line.endswith("\n")]
        return {value.pop("step"): value for value in values}


class SearchFolder:
    """Paths and small files of one search."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "search.yaml"
        self.journal = path / "study.jsonl"
        self.results = path / "results.json"
        self.report = path / "report.html"

    def trial(self, number: int) -> TaskFolder:
        """The folder of a trial."""
        return TaskFolder(self.path / "trials" / f"{number:04d}")

    def confirmation(self, number: int, seed: int) -> TaskFolder:
        """The folder of the same settings with another seed."""
        return TaskFolder(self.path / "trials" / f"{number:04d}-seed-{seed}")

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Wait until nobody else does `what`, and hold it."""
        with exclusive(self.path / f".{what}"):
            yield

    def adopt(self, config: SearchConfig) -> None:
        """Create the folder, and write `config` or see that it is the one the folder was begun with.

        Raises:
            RunError: the path is a file, or the folder was begun with another search; the first field that differs
                is named.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise RunError(f"--run {self.path}: a file is in the way; name a folder") from error
        with self.locked("config"):
            if not self.config.exists():
                write_atomic(self.config, to_yaml(config).encode())
                return
            old = parse(SearchConfig, yaml.safe_load(self.config.read_text(encoding="utf-8")), str(self.config))
        for path, (before, after) in differences(old.model_dump(mode="json"), config.model_dump(mode="json")).items():
            raise RunError(
                f"--run {self.path}: begun with {path}={before}, now {path}={after}; repeat the first command to go "
                "on, or name a new folder"
            )

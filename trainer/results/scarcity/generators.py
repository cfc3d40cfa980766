"""The generators of the study of scarcity: ordinary runs of a recipe on a file with the few images."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.atomic import write_atomic
from trainer.data import DataSplit, LabelledImages
from trainer.errors import RunError
from trainer.results.kept import key_of, training_key
from trainer.results.runs import train_recipe
from trainer.results.scarcity.images import CLASSIC, draw_few, joined, other_digits, varied
from trainer.results.scarcity.plan import Cell, GeneratorPlan, Plan

_CHECKED = 500


@dataclass(frozen=True)
class Generators:
    """Trains the generators of a plan in `folder`, each once."""

    plan: Plan
    data: DataSplit
    folder: Path

    def key(self, plan: GeneratorPlan, cell: Cell) -> str:
        """Everything that decides what such a generator becomes."""
        parent = self.parent_key(cell.seed) if plan.transfer else None
        if not plan.images:
            return self.parent_key(cell.seed)
        images = (plan.variations, plan.transfer, CLASSIC.model_dump(), cell.per_class)
        return key_of(self._key(plan.images, cell.seed), parent, images)

    def parent_key(self, seed: int) -> str:
        """The same of the generator of the other digit set."""
        return self._key(self.plan.parent_images, seed)

    def train(self, plan: GeneratorPlan, cell: Cell) -> Path:
        """The folder of the package, trained now if it was not.

        Raises:
            RunError: the training was stopped by a signal, or gave up.
        """
        if not plan.images:
            return self.train_parent(cell.seed)
        few = draw_few(self.data, cell.per_class, cell.seed)
        images = varied(few.real, -(-plan.variations // len(few.real)), cell.seed) if plan.variations else few.real
        settings = self._settings(plan.images, cell.seed)
        if plan.transfer:
            images = joined(images, self._other_digits())
            settings = (*settings, f"start_from={self.train_parent(cell.seed)}")
        name = f"{cell.per_class}-{cell.seed}-{self.key(plan, cell)[:8]}"
        return self._train(name, images, few.checked, settings)

    def train_parent(self, seed: int) -> Path:
        """The folder of the package of the other digit set, see `train`."""
        name, settings = f"other-{seed}-{self.parent_key(seed)[:8]}", self._settings(self.plan.parent_images, seed)
        return self._train(name, self._other_digits(), self.data.train.at_most(_CHECKED), settings)

    def _other_digits(self) -> LabelledImages:
        others = other_digits(self.data.train)
        assert others is not None, "a plan without transfer was needed"
        return others

    def _settings(self, images: int, seed: int) -> tuple[str, ...]:
        return (*self.plan.settings, f"budget={{images: {images}}}", f"seed={seed}")

    def _key(self, images: int, seed: int) -> str:
        return training_key(self.plan.recipe, self._settings(images, seed), self.data.fingerprint())

    def _train(self, name: str, images: LabelledImages, checked: LabelledImages, settings: tuple[str, ...]) -> Path:
        run = self.folder / name
        file = run.with_suffix(".npz")
        if not file.exists():
            content = io.BytesIO()
            np.savez(content, x=images.images, y=images.labels, x_test=checked.images, y_test=checked.labels)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file, content.getvalue())
        trained = train_recipe(self.plan.recipe, run, (f"data.path={file.resolve()}", *settings))
        if trained.package is None:
            raise RunError(f"{run}: {trained.verdict}")
        return trained.package.path.resolve()

"""The package that a fine-tuning begins with: how it was trained, its weights, and the images it draws."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import PackageError
from runtime.generator import Generator
from runtime.latents import latents_from_seeds
from runtime.manifest import Manifest
from runtime.package import open_package
from trainer.checkpoints import read_checkpoint
from trainer.config import Config, parse
from trainer.errors import CheckpointDamaged, ConfigError
from trainer.parent import CHECKPOINT_FILE, Weights, weights_of
from trainer.recipe import Recipe
from trainer.systems import AdversarialConfig

_BATCH = 250
_OF_ONE_RUN = ("fine_tuning", "job", "base", "from_scratch", "data", "start_from", "package")
"""What a recipe says of one run alone."""


class FromScratch(Config):
    """Settings of the training from random weights that stands at the beginning of a line of packages: what a
    fine-tuning scales, so that a fine-tuning of a fine-tuning does not scale twice."""

    batch_size: int
    """Images per step."""

    generator_rate: float
    """Learning rate of the generator."""

    discriminator_rate: float
    """Learning rate of the discriminator."""

    ema_decay: float
    """Decay of the average."""


class Ancestor:
    """A package of the store, all files checked.

    Attributes:
        path: its folder.
        manifest: its description.
        recipe: what it was trained by, without the images.
        from_scratch: see `FromScratch`.
        steps: how many steps its networks have taken.
    """

    def __init__(self, path: Path) -> None:
        """Read everything but the weights.

        Raises:
            ConfigError: no such package, or one that cannot be trained further; the message says why.
        """
        try:
            self._package = open_package(path)
        except PackageError as error:
            raise ConfigError(f"PACKAGE {path}: {error.reason}; a folder STORE/NAME/VERSION is needed") from error
        self.path, self.manifest = path, self._package.manifest
        if CHECKPOINT_FILE not in self.manifest.files:
            raise ConfigError(
                f"PACKAGE {self.reference}: holds no {CHECKPOINT_FILE}, and graphs alone cannot be trained further; "
                "packages that latentd train has published hold one"
            )
        self.recipe, self.from_scratch = self._read_recipe(self.manifest)
        if not isinstance(self.recipe.system, AdversarialConfig):
            raise ConfigError(
                f"PACKAGE {self.reference}: is of the system {self.recipe.system.kind!r}; a generator that plays "
                "against a discriminator alone (system 'adversarial') can be fine-tuned"
            )
        try:
            self.steps = read_checkpoint(path / CHECKPOINT_FILE)["position"]["steps"]
        except CheckpointDamaged as error:
            raise ConfigError(f"PACKAGE {self.reference}: {error}") from error
        self._generator = Generator(self._package, "fp32")

    @property
    def reference(self) -> str:
        """``name@version``."""
        return self.manifest.reference

    def weights(self) -> Weights:
        """The networks by name, see `trainer.parent.weights_of`."""
        return weights_of(self._package)

    def draw(self, labels: NDArray[np.int64], first_seed: int) -> NDArray[np.uint8]:
        """Images of consecutive row seeds, as the package is served; `labels` are its own."""
        seeds = np.arange(first_seed, first_seed + len(labels), dtype=np.uint64)
        return self(latents_from_seeds(seeds, self.manifest.latent.dim), labels)

    def __call__(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See `trainer.evaluation.Sampler`."""
        starts = range(0, len(latents), _BATCH)
        parts = (slice(start, start + _BATCH) for start in starts)
        return np.concatenate([self._generator.run(latents[part], labels[part]) for part in parts])

    def sampler(self, rows: Sequence[int]) -> "_Renamed":
        """Itself for others' labels, of which number i means its own class ``rows[i]``."""
        return _Renamed(self, np.array(rows, np.int64))

    def _read_recipe(self, manifest: Manifest) -> tuple[Recipe, FromScratch]:
        config: dict[str, Any] = manifest.provenance.config
        try:
            recipe = parse(Recipe, {name: config[name] for name in config if name not in _OF_ONE_RUN}, "its recipe")
            known = config.get("from_scratch") or {
                "batch_size": recipe.training.batch_size,
                "generator_rate": recipe.generator_optimizer.learning_rate,
                "discriminator_rate": recipe.discriminator_optimizer.learning_rate,
                "ema_decay": recipe.ema.decay,
            }
            return recipe, parse(FromScratch, known, "its recipe: from_scratch")
        except ConfigError as error:
            raise ConfigError(
                f"PACKAGE {self.reference}: was trained by latentd {manifest.provenance.code_version}, and this one "
                f"cannot repeat it: {error}"
            ) from error


class _Renamed:
    """See `Ancestor.sampler`."""

    def __init__(self, ancestor: Ancestor, rows: NDArray[np.int64]) -> None:
        self._ancestor, self._rows = ancestor, rows

    def __call__(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._ancestor(latents, self._rows[labels])

"""A recipe: everything that decides what is trained, and on what."""

from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from trainer.alarm import AlarmConfig
from trainer.augmentations import AUGMENTATIONS, AugmentationConfig
from trainer.budget import BudgetConfig
from trainer.config import Config, parse
from trainer.data import DataConfig
from trainer.device import DeviceConfig
from trainer.ema import EmaConfig
from trainer.evaluation import EvaluationConfig
from trainer.export import ExportConfig
from trainer.networks import DISCRIMINATORS, GENERATORS, DiscriminatorConfig, GeneratorConfig
from trainer.objectives import OBJECTIVES, ObjectiveConfig
from trainer.optimizers import OPTIMIZERS, AdamConfig, LearningRateConfig, OptimizerConfig
from trainer.quality import QualityConfig
from trainer.recipes import recipe_text
from trainer.regularizers import REGULARIZERS, RegularizerConfig
from trainer.systems import SYSTEMS, AdversarialConfig, SystemConfig
from trainer.training_config import TrainingConfig


class SearchOrigin(Config):
    """The search that found a recipe's settings, see `trainer.search`."""

    folder: str
    """Name of its folder."""

    trial: int = Field(ge=0)
    """Number of the trial; 0 is the recipe as it ships."""

    trials: int = Field(ge=1)
    """Trials it was chosen from."""

    parameters: dict[str, Any]
    """The searched fields and their values."""

    objective: str
    """What was compared on held-out images."""

    value: float
    """Of the objective in the search."""

    default: float | None
    """Of the objective with the recipe as it ships; null: that trial failed."""

    confirmed: float | None
    """Mean of the objective over fresh seeds; null: not measured."""

    confirmed_default: float | None
    """The same for the recipe as it ships."""


class PackageConfig(Config):
    """What the package's manifest says beyond what is measured."""

    licence: str = "unspecified"
    """Licence of the weights, best as an SPDX identifier."""

    intended_use: str = "unspecified"
    """What the images are meant for."""

    search: SearchOrigin | None = None
    """Where the settings come from, filled in by `latentd search`."""


class Recipe(Config):
    """The resolved settings of a run, written into its folder as `config.yaml`."""

    family: str
    """Kind of model, as the manifest names it."""

    description: str
    """One sentence for `latentd train --list`."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Start of every random sequence: weights, order of images, latents."""

    system: Annotated[SerializeAsAny[SystemConfig], BeforeValidator(SYSTEMS.parse)] = AdversarialConfig()
    """How the networks play together."""

    start_from: str | None = None
    """Folder of a package, ``STORE/NAME/VERSION``, whose weights a new run begins with in place of random ones; the
    networks must be the same. Optimizers begin anew. Null: random weights."""

    conditional: bool = True
    """Whether the networks are told the class of an image, where there are classes. If not, the package has none,
    and labels serve evaluation alone."""

    data: DataConfig = DataConfig()
    """Training images."""

    generator: Annotated[SerializeAsAny[GeneratorConfig], BeforeValidator(GENERATORS.parse)]
    """Network that makes images."""

    discriminator: Annotated[SerializeAsAny[DiscriminatorConfig], BeforeValidator(DISCRIMINATORS.parse)]
    """Network that judges them."""

    objective: Annotated[SerializeAsAny[ObjectiveConfig], BeforeValidator(OBJECTIVES.parse)]
    """What the two play for."""

    regularizers: Annotated[
        dict[str, SerializeAsAny[RegularizerConfig]], BeforeValidator(REGULARIZERS.parse_by_key)
    ] = Field(default_factory=dict)
    """Terms added to the discriminator's loss, by kind."""

    augmentations: Annotated[
        dict[str, SerializeAsAny[AugmentationConfig]], BeforeValidator(AUGMENTATIONS.parse_by_key)
    ] = Field(default_factory=dict)
    """Random changes to what the discriminator sees, by kind, applied in this order."""

    generator_optimizer: Annotated[SerializeAsAny[OptimizerConfig], BeforeValidator(OPTIMIZERS.parse)] = AdamConfig()
    """Optimizer of the generator."""

    discriminator_optimizer: Annotated[SerializeAsAny[OptimizerConfig], BeforeValidator(OPTIMIZERS.parse)] = (
        AdamConfig()
    )
    """Optimizer of the discriminator."""

    learning_rate: LearningRateConfig = LearningRateConfig()
    """Schedule of both learning rates."""

    ema: EmaConfig = EmaConfig()
    """Averaged generator."""

    training: TrainingConfig = TrainingConfig()
    """Steps and records."""

    budget: BudgetConfig
    """When to stop."""

    alarm: AlarmConfig = AlarmConfig()
    """When a run counts as collapsed, and what follows."""

    quality: QualityConfig = QualityConfig()
    """How quality is measured on the way, for `training.keep` and `budget.target`."""

    device: DeviceConfig = DeviceConfig()
    """Where to compute, and in which precision."""

    export: ExportConfig = ExportConfig()
    """Precisions of the package and how they are checked."""

    evaluation: EvaluationConfig = EvaluationConfig()
    """Measures of the finished generator."""

    package: PackageConfig = PackageConfig()
    """Texts of the manifest."""

    @model_validator(mode="after")
    def _splits_batches(self) -> "Recipe":
        coupling = self.system.coupling(self) if self.training.accumulate > 1 else None
        if coupling:
            raise ValueError(f"training.accumulate: {coupling} needs all images of a batch at once")
        return self


def load_recipe(name: str) -> Recipe:
    """The recipe that ships as `name`.

    Raises:
        ConfigError: no such recipe.
    """
    return parse(Recipe, yaml.safe_load(recipe_text(name)), f"recipe {name}")

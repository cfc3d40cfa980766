"""What the loop trains: anything that takes one step on a batch and can be saved, resumed and sampled."""

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

from lightning_fabric import Fabric
from torch import Tensor

from trainer.augmentations import AugmentationConfig
from trainer.config import Config
from trainer.data.images import ImageSpec
from trainer.ema import EmaConfig
from trainer.networks.base import DiscriminatorConfig, Encoder, Generator, GeneratorConfig
from trainer.objectives import ObjectiveConfig
from trainer.optimizers import OptimizerConfig
from trainer.regularizers import RegularizerConfig
from trainer.training_config import TrainingConfig

Metrics = dict[str, Tensor]
"""Scalars without gradients, by name."""


class Ingredients(Protocol):
    """The parts of a recipe that a system is made of."""

    @property
    def conditional(self) -> bool: ...

    @property
    def generator(self) -> GeneratorConfig: ...

    @property
    def discriminator(self) -> DiscriminatorConfig: ...

    @property
    def objective(self) -> ObjectiveConfig: ...

    @property
    def regularizers(self) -> dict[str, RegularizerConfig]: ...

    @property
    def augmentations(self) -> dict[str, AugmentationConfig]: ...

    @property
    def generator_optimizer(self) -> OptimizerConfig: ...

    @property
    def discriminator_optimizer(self) -> OptimizerConfig: ...

    @property
    def ema(self) -> EmaConfig: ...

    @property
    def training(self) -> TrainingConfig: ...


class System(Protocol):
    """Networks, their optimizers, and the rule by which a batch changes them."""

    def step(self, images: Tensor, labels: Tensor, step: int, rate: float) -> Metrics:
        """One update of every network.

        Args:
            images: uint8 ``[n, C, H, W]`` on the system's device; sequences are ``[n, T, C, H, W]``.
            labels: int64 ``[n]``.
            step: number of steps taken before this one.
            rate: factor of every learning rate, 0 … 1.
        """
        ...

    def averaged_generator(self, statistics_images: int) -> Generator:
        """A copy of the generator as it would be packaged now, in eval mode and fp32.

        Args:
            statistics_images: generated images over which batch-norm statistics are taken.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, enough to go on exactly."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        ...


@runtime_checkable
class EncodingSystem(Protocol):
    """A system that learns to find latents, too; its package carries the encoder."""

    def averaged_encoder(self) -> Encoder:
        """A copy of the encoder as it would be packaged now, in eval mode and fp32."""
        ...


class SystemConfig(Config, ABC):
    """A recipe's `system` section: how the networks play together."""

    kind: str
    """Which system; see `trainer.systems.SYSTEMS`."""

    @abstractmethod
    def build(self, ingredients: Ingredients, spec: ImageSpec, fabric: Fabric) -> System:
        """Freshly initialized networks and optimizers for images of size `spec`, on `fabric`'s device."""

    def coupling(self, ingredients: Ingredients) -> str | None:
        """What needs all images of a batch at once, so that `training.accumulate` is refused; None: nothing does."""
        return f"system {self.kind!r}"

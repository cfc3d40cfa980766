"""What an adversarial objective is: a pair of losses on logits."""

from abc import ABC, abstractmethod

from torch import Tensor

from trainer.config import Config


class ObjectiveConfig(Config, ABC):
    """A recipe's `objective` section. Logits are float ``[n]``; losses are scalars to be minimized."""

    kind: str
    """Which objective; see `trainer.objectives.OBJECTIVES`."""

    @abstractmethod
    def generator_loss(self, fake_logits: Tensor) -> Tensor:
        """What the generator minimizes, given the discriminator's logits of its images."""

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """What the discriminator minimizes."""

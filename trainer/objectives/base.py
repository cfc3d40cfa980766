"""What an adversarial objective is: a pair of losses on logits."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from trainer.config import Config
from trainer.registry import Registry


class ObjectiveConfig(Config, ABC):
    """A recipe's `objective` section. Logits are float ``[n]``; losses are scalars to be minimized."""

    kind: str
    """Which objective; see `trainer.objectives.OBJECTIVES`."""

    @property
    def compares(self) -> bool:
        """Whether the generator's loss needs logits of real images beside those of its own; systems compute
        them only then, with the labels of the generated images."""
        return False

    @property
    def couples(self) -> bool:
        """Whether an image's share of a loss depends on other images than the one it is paired with: the loss of a
        batch is then no mean over its parts."""
        return False

    @abstractmethod
    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """What the generator minimizes, given the discriminator's logits of its images.

        Args:
            fake_logits: float ``[n]``.
            real_logits: float ``[n]`` without gradients where `compares`, else passed over.
        """

    @abstractmethod
    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """What the discriminator minimizes."""

    def idle_loss(self, n: int) -> float:
        """`discriminator_loss` at equal logits of `n` images of either kind: of a discriminator that says nothing."""
        return float(self.discriminator_loss(torch.zeros(n), torch.zeros(n)))


OBJECTIVES: Registry[ObjectiveConfig] = Registry("objective")
"""Filled in `trainer.objectives`; it stands here for the objectives that contain another one."""

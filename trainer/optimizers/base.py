"""What an optimizer is in a recipe."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn

from trainer.config import Config


class OptimizerConfig(Config, ABC):
    """A recipe's `generator_optimizer` or `discriminator_optimizer` section."""

    kind: str
    """Which optimizer; see `trainer.optimizers.OPTIMIZERS`."""

    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Step size at the start."""

    @abstractmethod
    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""

    def set_rate(self, optimizer: torch.optim.Optimizer, factor: float) -> None:
        """Make the step size `factor` times the one of the config."""
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate * factor

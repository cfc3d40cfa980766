"""RMSProp (Tieleman and Hinton 2012, "Neural networks for machine learning", lecture 6.5)."""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from trainer.optimizers.base import OptimizerConfig


class RmspropConfig(OptimizerConfig):
    """Gradients divided by the root of their mean square; the WGAN paper's choice, since it has no momentum."""

    kind: Literal["rmsprop"] = "rmsprop"
    """Which optimizer."""

    decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the mean of squared gradients."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return torch.optim.RMSprop(parameters, self.learning_rate, self.decay)

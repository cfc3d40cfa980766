"""Adam (Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1)."""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from trainer.optimizers.base import OptimizerConfig


class AdamConfig(OptimizerConfig):
    """Adam in PyTorch's fused form."""

    kind: Literal["adam"] = "adam"
    """Which optimizer."""

    beta1: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the mean of gradients; 0 suits adversarial games."""

    beta2: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of squared gradients."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return torch.optim.Adam(parameters, self.learning_rate, (self.beta1, self.beta2), fused=True)

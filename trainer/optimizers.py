"""Optimizers as a recipe names them, and the learning rate over the budget."""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from trainer.config import Config


class AdamConfig(Config):
    """Adam (Kingma and Ba 2015), in PyTorch's fused form."""

    kind: Literal["adam"] = "adam"
    """Which optimizer."""

    learning_rate: float = Field(default=5e-4, gt=0, le=1)
    """Step size at the start."""

    beta1: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the mean of gradients; 0 suits adversarial games."""

    beta2: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of squared gradients."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return torch.optim.Adam(parameters, self.learning_rate, (self.beta1, self.beta2), fused=True)

    def set_rate(self, optimizer: torch.optim.Optimizer, factor: float) -> None:
        """Make the step size `factor` times the one of the config."""
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate * factor


class LearningRateConfig(Config):
    """Learning rate over the budget in use, of images or of time: constant, then linear to a last value."""

    constant: float = Field(default=0.5, ge=0, le=1)
    """Share of the budget at the full rate."""

    last: float = Field(default=0.05, ge=0, le=1)
    """Share of the full rate reached at the end."""

    def factor(self, progress: float) -> float:
        """Factor of the rate after the share `progress` (0 … 1) of the budget."""
        progress = min(progress, 1.0)
        if progress <= self.constant:
            return 1.0
        return 1 - (1 - self.last) * (progress - self.constant) / (1 - self.constant)

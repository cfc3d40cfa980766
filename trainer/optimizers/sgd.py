"""Stochastic gradient descent with momentum (Sutskever et al. 2013, eqs. 1 and 2, in PyTorch's form)."""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from trainer.optimizers.base import OptimizerConfig


class SgdConfig(OptimizerConfig):
    """Plain gradient steps, with momentum as an option."""

    kind: Literal["sgd"] = "sgd"
    """Which optimizer."""

    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Share of the last step that is taken again."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return torch.optim.SGD(parameters, self.learning_rate, self.momentum)

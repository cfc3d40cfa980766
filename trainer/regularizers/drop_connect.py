"""DropConnect (Wan et al. 2013, "Regularization of neural networks using DropConnect", section 3)."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainer.regularizers.base import RegularizerConfig


class DroppedWeights(nn.Module):
    """Each weight is zero with probability `rate` while training, the others grow by 1 / (1 − rate).

    One mask per forward pass, the same for all rows. In eval mode weights pass unchanged: the mean of the
    masked ones.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, weight: Tensor) -> Tensor:
        """A weight of any shape to one of the same shape."""
        return F.dropout(weight, self.rate, self.training)


class DropConnectConfig(RegularizerConfig):
    """Random weights are dropped at each forward pass of the discriminator, so that none is relied upon."""

    kind: Literal["drop-connect"] = "drop-connect"
    """Which regularizer."""

    rate: float = Field(default=0.2, gt=0, lt=1)
    """Probability that a weight is dropped."""

    def prepare(self, discriminator: nn.Module) -> None:
        """Put `DroppedWeights` before every linear and convolutional weight."""
        for module in list(discriminator.modules()):
            if isinstance(module, nn.Linear | nn.Conv2d):
                parametrize.register_parametrization(module, "weight", DroppedWeights(self.rate))

"""Weight clipping (Arjovsky et al. 2017, "Wasserstein GAN", algorithm 1, line 7)."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from trainer.regularizers.base import RegularizerConfig


class WeightClippingConfig(RegularizerConfig):
    """Keeps a critic Lipschitz, crudely: every parameter stays within a box."""

    kind: Literal["weight-clipping"] = "weight-clipping"
    """Which regularizer."""

    limit: float = Field(default=0.01, gt=0)
    """c: parameters stay within −c … c."""

    @torch.no_grad()
    def after_step(self, discriminator: nn.Module) -> None:
        """w ← clip(w, −c, c), biases included."""
        for parameter in discriminator.parameters():
            parameter.clamp_(-self.limit, self.limit)

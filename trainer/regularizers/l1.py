"""L1 on weights (Goodfellow et al. 2016, "Deep learning", eq. 7.19)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.regularizers.base import Player, Players, RegularizerConfig, weights


class L1Config(RegularizerConfig):
    """Draws weights to exactly zero: few connections remain."""

    kind: Literal["l1"] = "l1"
    """Which regularizer."""

    weight: float = Field(default=1e-5, ge=0)
    """α in α · Σ |w|."""

    of: Players = "both"
    """Whose weights."""

    def weight_penalty(self, player: Player, module: nn.Module) -> Tensor | None:
        """α · Σ |w| over matrices and kernels; biases are left alone."""
        if self.of not in (player, "both"):
            return None
        return self.weight * torch.stack([weight.abs().sum() for weight in weights(module)]).sum()

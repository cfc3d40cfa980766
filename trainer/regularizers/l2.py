"""L2 on weights (Goodfellow et al. 2016, "Deep learning", eq. 7.2)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.regularizers.base import Player, Players, RegularizerConfig, weights


class L2Config(RegularizerConfig):
    """Draws weights towards zero in proportion to their size."""

    kind: Literal["l2"] = "l2"
    """Which regularizer."""

    weight: float = Field(default=1e-5, ge=0)
    """α in α/2 · Σ w²."""

    of: Players = "both"
    """Whose weights."""

    def weight_penalty(self, player: Player, module: nn.Module) -> Tensor | None:
        """α/2 · Σ w² over matrices and kernels; biases are left alone."""
        if self.of not in (player, "both"):
            return None
        return self.weight / 2 * torch.stack([weight.square().sum() for weight in weights(module)]).sum()

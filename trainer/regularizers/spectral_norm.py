"""Spectral normalization (Miyato et al. 2018, "Spectral normalization for generative adversarial networks",
eq. 8 and algorithm 1)."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainer.regularizers.base import RegularizerConfig

_SETTLING = 15


class DividedByNorm(nn.Module):
    """W / σ(W), kernels read as matrices ``[out, in · height · width]``.

    σ is followed by `iterations` steps of the power method at each forward pass while training; its vectors are
    buffers, so that a resumed run goes on exactly. Computed in fp32 whatever the precision of the pass: three
    digits of a bf16 norm would be noise on every weight.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("right", F.normalize(torch.randn(matrix.shape[1]), dim=0))
        self._follow(matrix, _SETTLING)

    def forward(self, weight: Tensor) -> Tensor:
        """A weight of any shape to one of the same shape and spectral norm 1."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            if self.training:
                self._follow(matrix.detach(), self.iterations)
            # Copies: a later pass may move the vectors before this one's backward pass has read them.
            left, right = self.left.clone(), self.right.clone()
            return weight / left.dot(matrix.mv(right))

    @torch.no_grad()
    def _follow(self, matrix: Tensor, iterations: int) -> None:
        for _ in range(iterations):
            self.right.copy_(F.normalize(matrix.T.mv(self.left), dim=0, eps=1e-12))
            self.left.copy_(F.normalize(matrix.mv(self.right), dim=0, eps=1e-12))


class SpectralNormConfig(RegularizerConfig):
    """Every layer of the discriminator is at most 1-Lipschitz."""

    kind: Literal["spectral-norm"] = "spectral-norm"
    """Which regularizer."""

    iterations: int = Field(default=1, ge=1, le=100)
    """Steps of the power method per forward pass."""

    def prepare(self, discriminator: nn.Module) -> None:
        """Put `DividedByNorm` before every linear, convolutional and embedding weight."""
        for module in list(discriminator.modules()):
            if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                parametrization = DividedByNorm(module.weight, self.iterations)
                parametrize.register_parametrization(module, "weight", parametrization)

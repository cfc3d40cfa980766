"""R1: gradient penalty on real images (Mescheder et al. 2018, "Which training methods for GANs do actually
converge?", eq. 9)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer.regularizers.base import Critic, RegularizerConfig


def r1_discriminator(logits: Tensor, images: Tensor) -> Tensor:
    """mean ‖∂D/∂x‖², squared gradients summed over each image's pixels; the paper's γ/2 is the caller's.

    Args:
        logits: float ``[n]``, computed from `images`, row by row.
        images: float ``[n, C, H, W]`` that requires gradients.
    """
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.square().flatten(1).sum(1).mean()


class R1Config(RegularizerConfig):
    """Keeps the discriminator flat around the data, which makes the game converge."""

    kind: Literal["r1"] = "r1"
    """Which regularizer."""

    gamma: float = Field(default=1.0, ge=0)
    """Weight γ; the term is γ/2 · mean ‖∂D/∂x‖² for images in −1 … 1."""

    def discriminator_penalty(self, critic: Critic, real: Tensor) -> Tensor:
        """γ/2 · `every` · `r1_discriminator` at `real`."""
        images = real.detach().requires_grad_()
        return (self.gamma / 2 * self.every) * r1_discriminator(critic(images), images)

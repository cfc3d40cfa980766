"""WGAN-GP (Gulrajani et al. 2017, "Improved training of Wasserstein GANs", eq. 3)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer.regularizers.base import LazyRegularizerConfig, Shown


def interpolate(real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    """ε x + (1 − ε) x̃ for `shares` ε, float ``[n]``, algorithm 1 line 6."""
    return torch.lerp(fake, real, shares[:, None, None, None])


def gradient_norm_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """mean (‖∂D/∂x̂‖₂ − 1)², the norm taken over each image's pixels; the paper's λ is the caller's."""
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    # The norm's own derivative at zero is not a number; 1e-12 is far below what fp32 adds to 1.
    norms = (gradients.square().flatten(1).sum(1) + 1e-12).sqrt()
    return (norms - 1).square().mean()


class GradientPenaltyConfig(LazyRegularizerConfig):
    """Gradients of norm one on the lines between real and generated images."""

    kind: Literal["gradient-penalty"] = "gradient-penalty"
    """Which regularizer."""

    weight: float = Field(default=10.0, ge=0)
    """λ, for images in −1 … 1."""

    def discriminator_penalty(self, shown: Shown) -> Tensor | None:
        """λ · `every` · `gradient_norm_penalty` at one random point between each pair."""
        if not self.due(shown.step):
            return None
        shares = torch.rand(len(shown.real), device=shown.real.device)
        images = interpolate(shown.real, shown.fake, shares).detach().requires_grad_()
        return self.weight * self.every * gradient_norm_penalty(shown.critic(images), images)

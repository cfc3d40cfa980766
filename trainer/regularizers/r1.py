"""R1: gradient penalty on real images (Mescheder et al. 2018, "Which training methods for GANs do actually
converge?", eq. 9)."""

from typing import Literal

import torch
from torch import Tensor

from trainer.regularizers.base import AnnealedRegularizerConfig, Shown


def squared_gradients(logits: Tensor, images: Tensor) -> Tensor:
    """mean ‖∂D/∂x‖², squared gradients summed over each image's pixels; the paper's γ/2 is the caller's.

    Args:
        logits: float ``[n]``, computed from `images`, row by row.
        images: float ``[n, C, H, W]`` that requires gradients.
    """
    (gradients,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradients.square().flatten(1).sum(1).mean()


class R1Config(AnnealedRegularizerConfig):
    """Keeps the discriminator flat around the data, which makes the game converge."""

    kind: Literal["r1"] = "r1"
    """Which regularizer."""

    def discriminator_penalty(self, shown: Shown) -> Tensor | None:
        """γ/2 · `every` · `squared_gradients` at the real images."""
        if not self.due(shown.step):
            return None
        images = shown.real.detach().requires_grad_()
        return self.weight_at(shown.step) * squared_gradients(shown.critic(images), images)

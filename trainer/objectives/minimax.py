"""The minimax (saturating) loss (Goodfellow et al. 2014, "Generative adversarial nets", eq. 1)."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.objectives.base import ObjectiveConfig


def minimax_generator(fake_logits: Tensor) -> Tensor:
    """mean log(1 − σ(D(G(z)))), eq. 1's second term; −log 2 at logits of zero."""
    return -F.softplus(fake_logits).mean()


def minimax_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−mean log σ(D(x)) − mean log(1 − σ(D(G(z)))), eq. 1 negated; 2 log 2 at logits of zero."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


class MinimaxConfig(ObjectiveConfig):
    """One loss, maximized by one and minimized by the other: the generator's gradient fades while it loses."""

    kind: Literal["minimax"] = "minimax"
    """Which objective."""

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `minimax_generator`."""
        return minimax_generator(fake_logits)

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `minimax_discriminator`."""
        return minimax_discriminator(real_logits, fake_logits)

"""The non-saturating loss (Goodfellow et al. 2014, "Generative adversarial nets", section 3)."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.objectives.base import ObjectiveConfig


def non_saturating_generator(fake_logits: Tensor) -> Tensor:
    """−mean log σ(D(G(z))), the form proposed below eq. 1; log 2 at logits of zero."""
    return F.softplus(-fake_logits).mean()


def non_saturating_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−mean log σ(D(x)) − mean log(1 − σ(D(G(z)))), eq. 1 negated; 2 log 2 at logits of zero."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


class NonSaturatingConfig(ObjectiveConfig):
    """Binary cross-entropy in which the generator maximizes log D instead of minimizing log (1 − D)."""

    kind: Literal["non-saturating"] = "non-saturating"
    """Which objective."""

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `non_saturating_generator`."""
        return non_saturating_generator(fake_logits)

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `non_saturating_discriminator`."""
        return non_saturating_discriminator(real_logits, fake_logits)

"""The hinge loss (Lim and Ye 2017, "Geometric GAN", section 3.3; Miyato et al. 2018, eqs. 16 and 17)."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.objectives.base import ObjectiveConfig


def hinge_generator(fake_logits: Tensor) -> Tensor:
    """−mean D(G(z)), Miyato et al. eq. 17."""
    return -fake_logits.mean()


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """mean max(0, 1 − D(x)) + mean max(0, 1 + D(G(z))), Miyato et al. eq. 16 negated; 2 at logits of zero."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


class HingeConfig(ObjectiveConfig):
    """Logits beyond the margin of 1 no longer move the discriminator."""

    kind: Literal["hinge"] = "hinge"
    """Which objective."""

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `hinge_generator`."""
        return hinge_generator(fake_logits)

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `hinge_discriminator`."""
        return hinge_discriminator(real_logits, fake_logits)

"""Relativistic pairing (Jolicoeur-Martineau 2019; Huang et al. 2024, "The GAN is dead; long live the GAN!", eq. 2)."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from trainer.objectives.base import ObjectiveConfig


def relativistic_pairing_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """mean log(1 + exp(D(x) − D(G(z)))) over pairs; log 2 at equal logits."""
    return F.softplus(real_logits - fake_logits).mean()


def relativistic_pairing_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """mean log(1 + exp(D(G(z)) − D(x))) over pairs; log 2 at equal logits."""
    return F.softplus(fake_logits - real_logits).mean()


class RelativisticPairingConfig(ObjectiveConfig):
    """Each generated image is judged against a real one, which leaves no basin to collapse into. Converges only
    with `r1` and `r2` beside it (section 2.2)."""

    kind: Literal["relativistic-pairing"] = "relativistic-pairing"
    """Which objective."""

    @property
    def compares(self) -> bool:
        """Yes."""
        return True

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `relativistic_pairing_generator`."""
        assert real_logits is not None
        return relativistic_pairing_generator(fake_logits, real_logits)

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `relativistic_pairing_discriminator`."""
        return relativistic_pairing_discriminator(real_logits, fake_logits)

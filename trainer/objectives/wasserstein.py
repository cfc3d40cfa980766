"""The Wasserstein loss (Arjovsky et al. 2017, "Wasserstein GAN", eqs. 2 and 3, algorithm 1)."""

from typing import Literal

from torch import Tensor

from trainer.objectives.base import ObjectiveConfig


def wasserstein_generator(fake_logits: Tensor) -> Tensor:
    """−mean f(G(z)), the part of eq. 2 that the generator moves."""
    return -fake_logits.mean()


def wasserstein_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """mean f(G(z)) − mean f(x), eq. 3 negated; minus it estimates the distance, up to the Lipschitz constant."""
    return fake_logits.mean() - real_logits.mean()


class WassersteinConfig(ObjectiveConfig):
    """A distance instead of a verdict. The critic must be kept Lipschitz: `weight-clipping` or `gradient-penalty`."""

    kind: Literal["wasserstein"] = "wasserstein"
    """Which objective."""

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `wasserstein_generator`."""
        return wasserstein_generator(fake_logits)

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `wasserstein_discriminator`."""
        return wasserstein_discriminator(real_logits, fake_logits)

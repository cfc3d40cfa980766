"""The least-squares loss (Mao et al. 2017, "Least squares generative adversarial networks", eq. 2)."""

from typing import Literal

from torch import Tensor

from trainer.objectives.base import ObjectiveConfig


def least_squares_generator(fake_logits: Tensor, *, c: float) -> Tensor:
    """½ mean (D(G(z)) − c)², eq. 2."""
    return (fake_logits - c).square().mean() / 2


def least_squares_discriminator(real_logits: Tensor, fake_logits: Tensor, *, a: float, b: float) -> Tensor:
    """½ mean (D(x) − b)² + ½ mean (D(G(z)) − a)², eq. 2."""
    return (real_logits - b).square().mean() / 2 + (fake_logits - a).square().mean() / 2


class LeastSquaresConfig(ObjectiveConfig):
    """Images far on the right side of the boundary are still drawn towards the data (section 3.2)."""

    kind: Literal["least-squares"] = "least-squares"
    """Which objective."""

    a: float = 0.0
    """Label of generated images for the discriminator."""

    b: float = 1.0
    """Label of real images for the discriminator."""

    c: float = 1.0
    """Label the generator wants for its images; a = −1, b = 1, c = 0 minimizes Pearson's χ² (eq. 8)."""

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `least_squares_generator`."""
        return least_squares_generator(fake_logits, c=self.c)

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `least_squares_discriminator`."""
        return least_squares_discriminator(real_logits, fake_logits, a=self.a, b=self.b)

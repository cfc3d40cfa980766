"""GAT, gradient conjugate adversarial training: L = L_GAN + λ · L_conj, for both players.

L_conj is the variational bound of an f-divergence, see `trainer.objectives.f_divergence`. The other halves of
GAT are the optimizer `conjugate-gradient` and, as an option, the regularizer `consensus`.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny
from torch import Tensor

from trainer.objectives.base import OBJECTIVES, ObjectiveConfig
from trainer.objectives.f_divergence import DIVERGENCES, DivergenceName, conjugate_discriminator, conjugate_generator
from trainer.objectives.non_saturating import NonSaturatingConfig


class GatConfig(ObjectiveConfig):
    """Any objective plus the bound of an f-divergence, on the same logits."""

    kind: Literal["gat"] = "gat"
    """Which objective."""

    base: Annotated[SerializeAsAny[ObjectiveConfig], BeforeValidator(OBJECTIVES.parse)] = NonSaturatingConfig()
    """L_GAN: any other objective."""

    divergence: DivergenceName = "js"
    """Divergence that L_conj bounds."""

    weight: float = Field(default=0.1, ge=0)
    """λ; 0 leaves `base` alone."""

    @property
    def compares(self) -> bool:
        """As `base` does."""
        return self.base.compares

    @property
    def couples(self) -> bool:
        """As `base` does."""
        return self.base.couples

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """The loss of `base` plus λ · `conjugate_generator`."""
        conjugate = conjugate_generator(fake_logits, DIVERGENCES[self.divergence])
        return self.base.generator_loss(fake_logits, real_logits) + self.weight * conjugate

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The loss of `base` plus λ · `conjugate_discriminator`."""
        conjugate = conjugate_discriminator(real_logits, fake_logits, DIVERGENCES[self.divergence])
        return self.base.discriminator_loss(real_logits, fake_logits) + self.weight * conjugate

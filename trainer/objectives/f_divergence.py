"""Variational bounds of f-divergences (Nowozin et al. 2016, "f-GAN", eqs. 4 to 8, tables 2 and 6).

For a discriminator's raw output v, F = E_data[g_f(v)] − E_generator[f*(g_f(v))] is at most the divergence: the
discriminator maximizes it, the generator minimizes it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.objectives.base import ObjectiveConfig

DivergenceName = Literal["js", "gan", "kl", "reverse-kl", "pearson", "squared-hellinger"]
LOG_2 = log(2)


@dataclass(frozen=True)
class Divergence:
    """One row of tables 2 and 6.

    Attributes:
        activation: g_f, from any v into the domain of f*; increasing, so that large v means "real".
        conjugate: f*, the Fenchel conjugate.
        conjugate_of_activation: f*(g_f(v)) simplified, so that it neither overflows nor cancels where the
            two steps would.
    """

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    conjugate_of_activation: Callable[[Tensor], Tensor]


DIVERGENCES: dict[DivergenceName, Divergence] = {
    "js": Divergence(
        lambda v: LOG_2 - F.softplus(-v), lambda t: -torch.log(2 - t.exp()), lambda v: F.softplus(v) - LOG_2
    ),
    "gan": Divergence(lambda v: -F.softplus(-v), lambda t: -torch.log(1 - t.exp()), F.softplus),
    "kl": Divergence(lambda v: v, lambda t: (t - 1).exp(), lambda v: (v - 1).exp()),
    "reverse-kl": Divergence(lambda v: -(-v).exp(), lambda t: -1 - torch.log(-t), lambda v: v - 1),
    "pearson": Divergence(lambda v: v, lambda t: t.square() / 4 + t, lambda v: v.square() / 4 + v),
    "squared-hellinger": Divergence(lambda v: 1 - (-v).exp(), lambda t: t / (1 - t), torch.expm1),
}


def conjugate_generator(fake_logits: Tensor, divergence: Divergence) -> Tensor:
    """−mean f*(g_f(v)) over generated images: what the generator moves of the bound F it minimizes (eq. 6)."""
    return -divergence.conjugate_of_activation(fake_logits).mean()


def conjugate_discriminator(real_logits: Tensor, fake_logits: Tensor, divergence: Divergence) -> Tensor:
    """−F = −mean g_f(v) over real images + mean f*(g_f(v)) over generated ones (eq. 6)."""
    return divergence.conjugate_of_activation(fake_logits).mean() - divergence.activation(real_logits).mean()


class FDivergenceConfig(ObjectiveConfig):
    """Training by the bound alone."""

    kind: Literal["f-divergence"] = "f-divergence"
    """Which objective."""

    divergence: DivergenceName = "js"
    """Which divergence is bounded."""

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `conjugate_generator`."""
        return conjugate_generator(fake_logits, DIVERGENCES[self.divergence])

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `conjugate_discriminator`."""
        return conjugate_discriminator(real_logits, fake_logits, DIVERGENCES[self.divergence])

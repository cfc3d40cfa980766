"""Softmax GAN (Lin 2017, "Softmax GAN", eqs. 5 to 8), with logits D = −μ in the place of the paper's energies."""

from typing import Literal

import torch
from torch import Tensor

from trainer.objectives.base import ObjectiveConfig


def softmax_generator(fake_logits: Tensor, real_logits: Tensor) -> Tensor:
    """log Σ exp D − mean D, both over the whole batch: every image shall have the same share; log 2n if equal."""
    logits = torch.cat([real_logits, fake_logits])
    return logits.logsumexp(0) - logits.mean()


def softmax_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log Σ exp D over the whole batch − mean D(x): real images shall share all of it; log 2n at equal logits."""
    return torch.cat([real_logits, fake_logits]).logsumexp(0) - real_logits.mean()


class SoftmaxConfig(ObjectiveConfig):
    """Images compete for shares of one softmax over the batch, real and generated ones together."""

    kind: Literal["softmax"] = "softmax"
    """Which objective."""

    @property
    def compares(self) -> bool:
        """Yes."""
        return True

    @property
    def couples(self) -> bool:
        """Yes."""
        return True

    def generator_loss(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        """See `softmax_generator`."""
        assert real_logits is not None
        return softmax_generator(fake_logits, real_logits)

    def discriminator_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See `softmax_discriminator`."""
        return softmax_discriminator(real_logits, fake_logits)

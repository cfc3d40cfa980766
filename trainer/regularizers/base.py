"""What a regularizer is: a term added to the discriminator's loss, perhaps not at every step."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from pydantic import Field
from torch import Tensor

from trainer.config import Config

Critic = Callable[[Tensor], Tensor]
"""Images, float ``[n, C, H, W]``, to logits, float ``[n]``; labels are bound, arithmetic is fp32."""


class RegularizerConfig(Config, ABC):
    """One entry of a recipe's `regularizers` section."""

    kind: str
    """Which regularizer; see `trainer.regularizers.REGULARIZERS`."""

    every: int = Field(default=1, ge=1, le=1000)
    """Discriminator steps between two applications; the weight grows by the same factor (lazy
    regularization, Karras et al. 2020, appendix B)."""

    def due(self, step: int) -> bool:
        """Whether this discriminator step, counted from 0, applies the term."""
        return step % self.every == 0

    @abstractmethod
    def discriminator_penalty(self, critic: Critic, real: Tensor) -> Tensor:
        """The weighted term, a scalar, for real images in −1 … 1."""

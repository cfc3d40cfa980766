"""What a regularizer is: anything that keeps the game within bounds, in one or more of five roles.

A system calls every role at its moment, without knowing which regularizers do something there:

1. `prepare`, once, before optimizers exist: the module may be changed for good.
2. `discriminator_penalty`, at each discriminator step: a term from what the discriminator was shown.
3. `weight_penalty`, at each step of either network: a term from its weights.
4. `GameRegularizerConfig.game_penalty`, at each step of either network: a term from the losses of both.
5. `after_step`, after each discriminator update.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from trainer.config import Config

Critic = Callable[[Tensor], Tensor]
"""Images, float ``[n, C, H, W]``, to logits, float ``[n]``; labels are bound, arithmetic is fp32."""

Player = Literal["generator", "discriminator"]
Players = Literal["generator", "discriminator", "both"]


@dataclass(frozen=True)
class Shown:
    """What a discriminator step compares.

    Attributes:
        critic: the discriminator; real and generated images at the same place have the same label.
        real: real images in −1 … 1, float ``[n, C, H, W]``.
        fake: generated images, likewise, without gradients.
        step: discriminator steps taken before this one.
    """

    critic: Critic
    real: Tensor
    fake: Tensor
    step: int


@dataclass(frozen=True)
class Game:
    """Both losses with their graphs, in fp32, and what each player moves."""

    generator_loss: Tensor
    discriminator_loss: Tensor
    generator_parameters: list[nn.Parameter]
    discriminator_parameters: list[nn.Parameter]


class RegularizerConfig(Config):
    """One entry of a recipe's `regularizers` section. Every role does nothing unless a kind overrides it."""

    kind: str
    """Which regularizer; see `trainer.regularizers.REGULARIZERS`."""

    def prepare(self, discriminator: nn.Module) -> None:
        """Change the freshly built discriminator in place."""

    def discriminator_penalty(self, shown: Shown) -> Tensor | None:
        """The weighted term, a scalar; None where this step has none."""
        return None

    def weight_penalty(self, player: Player, module: nn.Module) -> Tensor | None:
        """The weighted term for the weights of `module`, a scalar; None for a player that is left alone."""
        return None

    def after_step(self, discriminator: nn.Module) -> None:
        """Change the discriminator's weights in place after its update."""


class GameRegularizerConfig(RegularizerConfig, ABC):
    """A term from the losses of both players; a system computes them together only for these."""

    @abstractmethod
    def game_penalty(self, game: Game) -> Tensor:
        """The weighted term, a scalar, for whoever moves."""


class LazyRegularizerConfig(RegularizerConfig):
    """A discriminator penalty that may be applied at some steps only, with a larger weight there."""

    every: int = Field(default=1, ge=1, le=1000)
    """Discriminator steps between two applications; the weight grows by the same factor (lazy
    regularization, Karras et al. 2020, appendix B)."""

    def due(self, step: int) -> bool:
        """Whether this discriminator step, counted from 0, applies the term."""
        return step % self.every == 0


class AnnealedRegularizerConfig(LazyRegularizerConfig):
    """A penalty of weight γ/2 that may fade or grow over the first steps."""

    gamma: float = Field(default=1.0, ge=0)
    """Weight γ; the term is γ/2 · mean ‖∂D/∂x‖² for images in −1 … 1."""

    last_gamma: float | None = Field(default=None, ge=0)
    """γ after `anneal_steps`; null: as at the start."""

    anneal_steps: int = Field(default=10_000, ge=1)
    """Discriminator steps over which γ goes from `gamma` to `last_gamma` along half a cosine (the burn-in of
    Huang et al. 2024, table of hyperparameters)."""

    def gamma_at(self, step: int) -> float:
        """γ after `step` steps."""
        if self.last_gamma is None:
            return self.gamma
        share = (1 - math.cos(math.pi * min(1.0, step / self.anneal_steps))) / 2
        return self.gamma + (self.last_gamma - self.gamma) * share

    def weight_at(self, step: int) -> float:
        """γ/2, times the steps that one application stands for."""
        return self.gamma_at(step) / 2 * self.every


def weights(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that multiply: matrices, kernels and embeddings, not biases or norms' scales."""
    return (parameter for parameter in module.parameters() if parameter.ndim > 1)

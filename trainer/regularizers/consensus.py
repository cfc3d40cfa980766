"""Consensus regularization (Mescheder et al. 2017, "The numerics of GANs", eqs. 10 and 11)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer.regularizers.base import Game, GameRegularizerConfig


def squared_field(game: Game) -> Tensor:
    """‖v‖² / 2 of the field v = (∂L_G/∂φ, ∂L_D/∂θ) in which the players move: both gradients, all parameters.

    Losses are minimized here, utilities maximized in the paper; the square is the same.
    """
    moves = (
        (game.generator_loss, game.generator_parameters),
        (game.discriminator_loss, game.discriminator_parameters),
    )
    gradients = [
        gradient
        for loss, parameters in moves
        for gradient in torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
    ]
    return torch.stack([gradient.square().sum() for gradient in gradients]).sum() / 2


class ConsensusConfig(GameRegularizerConfig):
    """Both players also walk towards where neither is moved: the rotation around an equilibrium is damped.

    Costs second derivatives of both networks at every step, three to four times the time of a step without it.
    """

    kind: Literal["consensus"] = "consensus"
    """Which regularizer."""

    gamma: float = Field(default=0.1, ge=0)
    """Weight γ; the paper uses 10 with RMSProp at 1e-4 on summed losses, 0.1 and below keep their place here."""

    def game_penalty(self, game: Game) -> Tensor:
        """γ · `squared_field`."""
        return self.gamma * squared_field(game)

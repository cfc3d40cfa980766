"""Consensus regularization on the bilinear game, whose field is known."""

import pytest
import torch
from torch import nn

from trainer.regularizers.base import Game
from trainer.regularizers.consensus import ConsensusConfig, squared_field


def bilinear(a: float, b: float) -> tuple[Game, nn.Parameter, nn.Parameter]:
    """L_G = a·b, L_D = −a·b: the field (b, −a) turns around the equilibrium at zero."""
    generator, discriminator = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))
    value = generator * discriminator
    return Game(value, -value, [generator], [discriminator]), generator, discriminator


def test_the_field_of_the_bilinear_game() -> None:
    game, _, _ = bilinear(3.0, 4.0)
    assert squared_field(game).item() == pytest.approx((16 + 9) / 2, abs=1e-6)


def test_parameters_without_influence_count_nothing() -> None:
    game, _, _ = bilinear(3.0, 4.0)
    game.generator_parameters.append(nn.Parameter(torch.ones(5)))
    assert squared_field(game).item() == pytest.approx(12.5, abs=1e-6)


@pytest.mark.parametrize(("gamma", "closer"), [(0.0, False), (1.0, True)])
def test_gradient_descent_converges_with_it_alone(gamma: float, closer: bool) -> None:
    a, b = 1.0, 1.0
    for _ in range(100):
        game, generator, discriminator = bilinear(a, b)
        penalty = ConsensusConfig(gamma=gamma).game_penalty(game)
        (down_a,) = torch.autograd.grad(game.generator_loss + penalty, generator, retain_graph=True)
        (down_b,) = torch.autograd.grad(game.discriminator_loss + penalty, discriminator)
        a, b = a - 0.1 * down_a.item(), b - 0.1 * down_b.item()
    assert (a**2 + b**2 < 1e-3) == closer
    assert closer or a**2 + b**2 > 2

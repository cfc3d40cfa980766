"""Terms and limits on weights: L1, L2, clipping."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.trainer.regularizers.critics import value
from trainer.regularizers.l1 import L1Config
from trainer.regularizers.l2 import L2Config
from trainer.regularizers.weight_clipping import WeightClippingConfig


@pytest.fixture
def module() -> nn.Module:
    """Weights 3, −4 and bias 7."""
    linear = nn.Linear(2, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[3.0, -4.0]]))
        linear.bias.fill_(7.0)
    return linear


def test_l1_sums_sizes_of_weights_without_biases(module: nn.Module) -> None:
    assert value(L1Config(weight=0.5).weight_penalty("generator", module)) == pytest.approx(3.5, abs=1e-6)


def test_l2_sums_half_the_squares(module: nn.Module) -> None:
    assert value(L2Config(weight=0.5).weight_penalty("generator", module)) == pytest.approx(25 / 4, abs=1e-6)


@pytest.mark.parametrize("kind", [L1Config, L2Config])
@pytest.mark.parametrize(
    ("of", "has"), [("both", (True, True)), ("generator", (True, False)), ("discriminator", (False, True))]
)
def test_each_player_can_be_left_alone(module: nn.Module, kind: Any, of: str, has: tuple[bool, bool]) -> None:
    config = kind(of=of)
    terms = [config.weight_penalty(player, module) is not None for player in ("generator", "discriminator")]
    assert tuple(terms) == has


def test_clipping_bounds_everything(module: nn.Module) -> None:
    assert isinstance(module, nn.Linear)
    WeightClippingConfig(limit=3.5).after_step(module)
    assert module.weight.tolist() == [[3.0, -3.5]]
    assert module.bias.tolist() == [3.5]

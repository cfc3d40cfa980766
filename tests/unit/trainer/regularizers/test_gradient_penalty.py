"""WGAN-GP against critics whose gradients are known."""

import pytest
import torch

from tests.unit.trainer.regularizers.critics import linear, quadratic, shown, value
from trainer.regularizers.gradient_penalty import GradientPenaltyConfig, gradient_norm_penalty, interpolate


def test_interpolates_lie_between() -> None:
    real, fake = torch.full((3, 1, 2, 2), 1.0), torch.full((3, 1, 2, 2), -1.0)
    between = interpolate(real, fake, torch.tensor([1.0, 0.0, 0.75]))
    assert between[:, 0, 0, 0].tolist() == pytest.approx([1.0, -1.0, 0.5], abs=1e-6)


def test_linear_critic_has_gradients_of_norm_six() -> None:
    images = torch.zeros(5, 1, 2, 2, requires_grad=True)
    assert gradient_norm_penalty(linear(images), images).item() == pytest.approx(25.0, abs=1e-4)


def test_gradients_of_norm_one_cost_nothing() -> None:
    images = torch.full((5, 1, 2, 2), 0.5, requires_grad=True)
    assert gradient_norm_penalty(quadratic(images), images).item() == pytest.approx(0.0, abs=1e-6)


def test_a_flat_critic_still_has_a_derivative() -> None:
    weight = torch.zeros((), requires_grad=True)
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    penalty = gradient_norm_penalty(weight * images.flatten(1).sum(1), images)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert penalty.item() == pytest.approx(1.0, abs=1e-4)
    assert weight.grad is not None and torch.isfinite(weight.grad)


def test_penalty_is_weighted() -> None:
    config = GradientPenaltyConfig(weight=10, every=2)
    assert value(config.discriminator_penalty(shown(linear))) == pytest.approx(10 * 2 * 25, abs=1e-2)
    assert config.discriminator_penalty(shown(linear, step=1)) is None

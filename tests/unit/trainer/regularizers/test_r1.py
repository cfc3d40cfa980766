"""R1 against critics whose gradients are known."""

import pytest
import torch
from torch import Tensor

from trainer.regularizers.r1 import R1Config, r1_discriminator


def linear(images: Tensor) -> Tensor:
    """Gradient 3 at each of 2×2 pixels: squared norm 36."""
    return 3 * images.flatten(1).sum(1)


def quadratic(images: Tensor) -> Tensor:
    """Gradient equal to the image."""
    return images.square().flatten(1).sum(1) / 2


def test_linear_critic() -> None:
    images = torch.zeros(5, 1, 2, 2, requires_grad=True)
    assert r1_discriminator(linear(images), images).item() == pytest.approx(36.0, abs=1e-5)


def test_quadratic_critic_averages_over_images_not_pixels() -> None:
    images = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 2.0)]).requires_grad_()
    assert r1_discriminator(quadratic(images), images).item() == pytest.approx((4 + 16) / 2, abs=1e-5)


def test_gradients_reach_the_critic() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    penalty = r1_discriminator(weight * images.flatten(1).sum(1), images)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert gradient.item() == pytest.approx(2 * 3 * 4, abs=1e-5)  # d/dw of 4 w²


def test_penalty_is_half_gamma_times_the_steps_it_stands_for() -> None:
    config = R1Config(gamma=0.5, every=8)
    assert config.discriminator_penalty(linear, torch.zeros(3, 1, 2, 2)).item() == pytest.approx(
        0.25 * 8 * 36, abs=1e-4
    )


def test_due_every_so_many_steps() -> None:
    assert [step for step in range(20) if R1Config(every=8).due(step)] == [0, 8, 16]


def test_real_images_are_left_without_gradients() -> None:
    real = torch.zeros(3, 1, 2, 2)
    R1Config().discriminator_penalty(linear, real)
    assert not real.requires_grad

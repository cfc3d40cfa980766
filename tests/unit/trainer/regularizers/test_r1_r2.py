"""R1 and R2 against critics whose gradients are known."""

import pytest
import torch

from tests.unit.trainer.regularizers.critics import linear, quadratic, shown, value
from trainer.regularizers.r1 import R1Config, squared_gradients
from trainer.regularizers.r2 import R2Config


def test_linear_critic() -> None:
    images = torch.zeros(5, 1, 2, 2, requires_grad=True)
    assert squared_gradients(linear(images), images).item() == pytest.approx(36.0, abs=1e-5)


def test_quadratic_critic_averages_over_images_not_pixels() -> None:
    images = torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 2.0)]).requires_grad_()
    assert squared_gradients(quadratic(images), images).item() == pytest.approx((4 + 16) / 2, abs=1e-5)


def test_gradients_reach_the_critic() -> None:
    weight = torch.tensor(3.0, requires_grad=True)
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    penalty = squared_gradients(weight * images.flatten(1).sum(1), images)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert gradient.item() == pytest.approx(2 * 3 * 4, abs=1e-5)  # d/dw of 4 w²


@pytest.mark.parametrize("kind", [R1Config, R2Config])
def test_penalty_is_half_gamma_times_the_steps_it_stands_for(kind: type[R1Config | R2Config]) -> None:
    penalty = kind(gamma=0.5, every=8).discriminator_penalty(shown(linear))
    assert value(penalty) == pytest.approx(0.25 * 8 * 36, abs=1e-4)


def test_each_looks_at_its_own_side() -> None:
    both = shown(quadratic, real=1.0, fake=2.0)
    assert value(R1Config(gamma=2).discriminator_penalty(both)) == pytest.approx(4 * 1, abs=1e-5)
    assert value(R2Config(gamma=2).discriminator_penalty(both)) == pytest.approx(4 * 4, abs=1e-5)


def test_due_every_so_many_steps() -> None:
    config = R1Config(every=8)
    due = [step for step in range(20) if config.discriminator_penalty(shown(linear, step=step)) is not None]
    assert due == [0, 8, 16]


def test_gamma_goes_along_half_a_cosine() -> None:
    config = R1Config(gamma=2.0, last_gamma=0.2, anneal_steps=100)
    gammas = [config.gamma_at(step) for step in (0, 50, 100, 1000)]
    assert gammas == pytest.approx([2.0, 1.1, 0.2, 0.2], abs=1e-9)
    assert R1Config(gamma=2.0).gamma_at(1000) == 2.0


def test_images_are_left_without_gradients() -> None:
    sides = shown(linear)
    R1Config().discriminator_penalty(sides)
    R2Config().discriminator_penalty(sides)
    assert not sides.real.requires_grad and not sides.fake.requires_grad

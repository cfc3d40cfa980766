"""Objectives against values worked out by hand."""

import math

import pytest
import torch

from trainer.objectives import OBJECTIVES
from trainer.objectives.hinge import HingeConfig, hinge_discriminator, hinge_generator
from trainer.objectives.non_saturating import (
    NonSaturatingConfig,
    non_saturating_discriminator,
    non_saturating_generator,
)

LOG2 = math.log(2)


def test_non_saturating_at_zero_is_log_two() -> None:
    zeros = torch.zeros(5)
    assert non_saturating_generator(zeros).item() == pytest.approx(LOG2, abs=1e-6)
    assert non_saturating_discriminator(zeros, zeros).item() == pytest.approx(2 * LOG2, abs=1e-6)


def test_non_saturating_at_logits_with_known_sigmoids() -> None:
    # σ(log 3) = 3/4 and σ(−log 3) = 1/4
    real, fake = torch.tensor([math.log(3.0), 0.0]), torch.tensor([-math.log(3.0), 0.0])
    assert non_saturating_generator(fake).item() == pytest.approx((math.log(4) + LOG2) / 2, abs=1e-6)
    expected = (math.log(4 / 3) + LOG2) / 2 * 2
    assert non_saturating_discriminator(real, fake).item() == pytest.approx(expected, abs=1e-6)


def test_non_saturating_stays_finite_far_out() -> None:
    far = torch.tensor([200.0, -200.0])
    assert non_saturating_generator(far).item() == pytest.approx(100.0, abs=1e-4)
    assert non_saturating_discriminator(far, far).item() == pytest.approx(200.0, abs=1e-4)


def test_non_saturating_gradient_is_minus_one_minus_sigmoid() -> None:
    logits = torch.tensor([0.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(non_saturating_generator(logits), logits)
    assert gradient.item() == pytest.approx(-0.5, abs=1e-6)


def test_hinge_counts_only_what_is_within_the_margin() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.25])
    assert hinge_discriminator(real, fake).item() == pytest.approx((0 + 0.5) / 2 + (0 + 1.25) / 2, abs=1e-6)
    assert hinge_discriminator(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2.0, abs=1e-6)
    assert hinge_generator(fake).item() == pytest.approx(2.75 / 2, abs=1e-6)


@pytest.mark.parametrize("kind", OBJECTIVES.kinds())
def test_every_objective_rewards_what_it_should(kind: str) -> None:
    objective = OBJECTIVES.lookup(kind)(kind=kind)
    low, high = torch.full((4,), -0.5), torch.full((4,), 0.5)
    assert objective.generator_loss(high) < objective.generator_loss(low)
    assert objective.discriminator_loss(high, low) < objective.discriminator_loss(low, high)


def test_configs_delegate_to_the_functions() -> None:
    real, fake = torch.tensor([0.3, -0.2]), torch.tensor([0.1, 0.7])
    assert torch.equal(NonSaturatingConfig().generator_loss(fake), non_saturating_generator(fake))
    assert torch.equal(NonSaturatingConfig().discriminator_loss(real, fake), non_saturating_discriminator(real, fake))
    assert torch.equal(HingeConfig().generator_loss(fake), hinge_generator(fake))
    assert torch.equal(HingeConfig().discriminator_loss(real, fake), hinge_discriminator(real, fake))

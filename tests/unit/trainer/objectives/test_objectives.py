"""Objectives against values worked out by hand."""

import math

import pytest
import torch

from trainer.objectives import OBJECTIVES
from trainer.objectives.gat import GatConfig
from trainer.objectives.hinge import HingeConfig, hinge_discriminator, hinge_generator
from trainer.objectives.least_squares import LeastSquaresConfig, least_squares_discriminator, least_squares_generator
from trainer.objectives.minimax import minimax_discriminator, minimax_generator
from trainer.objectives.non_saturating import (
    NonSaturatingConfig,
    non_saturating_discriminator,
    non_saturating_generator,
)
from trainer.objectives.relativistic_pairing import relativistic_pairing_discriminator, relativistic_pairing_generator
from trainer.objectives.softmax import softmax_discriminator, softmax_generator
from trainer.objectives.wasserstein import wasserstein_discriminator, wasserstein_generator

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
    assert objective.generator_loss(high, high) < objective.generator_loss(low, high)
    assert objective.discriminator_loss(high, low) < objective.discriminator_loss(low, high)


def test_configs_delegate_to_the_functions() -> None:
    real, fake = torch.tensor([0.3, -0.2]), torch.tensor([0.1, 0.7])
    assert torch.equal(NonSaturatingConfig().generator_loss(fake), non_saturating_generator(fake))
    assert torch.equal(NonSaturatingConfig().discriminator_loss(real, fake), non_saturating_discriminator(real, fake))
    assert torch.equal(HingeConfig().generator_loss(fake), hinge_generator(fake))
    assert torch.equal(HingeConfig().discriminator_loss(real, fake), hinge_discriminator(real, fake))


def test_minimax_is_one_value_with_two_signs() -> None:
    # σ(−log 3) = 1/4
    fake = torch.tensor([-math.log(3.0), 0.0])
    assert minimax_generator(fake).item() == pytest.approx((math.log(3 / 4) - LOG2) / 2, abs=1e-6)
    real = torch.tensor([math.log(3.0), 0.0])
    expected = (math.log(4 / 3) + LOG2) / 2 * 2
    assert minimax_discriminator(real, fake).item() == pytest.approx(expected, abs=1e-6)


def test_minimax_gradient_fades_where_the_generator_loses() -> None:
    logits = torch.tensor([-10.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(minimax_generator(logits), logits)
    assert gradient.item() == pytest.approx(-1 / (1 + math.exp(10)), abs=1e-8)


def test_wasserstein_is_the_difference_of_means() -> None:
    real, fake = torch.tensor([3.0, 5.0]), torch.tensor([1.0, -2.0])
    assert wasserstein_generator(fake).item() == pytest.approx(0.5, abs=1e-6)
    assert wasserstein_discriminator(real, fake).item() == pytest.approx(-4.5, abs=1e-6)


def test_least_squares_measures_from_its_labels() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert least_squares_generator(fake, c=1).item() == pytest.approx((1 + 1) / 4, abs=1e-6)
    expected = (0 + 4) / 4 + (1 + 9) / 4
    assert least_squares_discriminator(real, fake, a=-1, b=1).item() == pytest.approx(expected, abs=1e-6)
    assert LeastSquaresConfig(a=-1, c=0).generator_loss(fake).item() == pytest.approx(1.0, abs=1e-6)


def test_softmax_shares() -> None:
    zeros = torch.zeros(4)
    assert softmax_generator(zeros, zeros).item() == pytest.approx(math.log(8), abs=1e-6)
    assert softmax_discriminator(zeros, zeros).item() == pytest.approx(math.log(8), abs=1e-6)
    # exponentials 3, 1 (real) and 2, 2 (generated) sum to 8
    real, fake = torch.tensor([math.log(3.0), 0.0]), torch.tensor([LOG2, LOG2])
    assert softmax_discriminator(real, fake).item() == pytest.approx(math.log(8) - math.log(3) / 2, abs=1e-6)
    expected = math.log(8) - (math.log(3) + 2 * LOG2) / 4
    assert softmax_generator(fake, real).item() == pytest.approx(expected, abs=1e-6)


def test_relativistic_pairing_sees_differences_alone() -> None:
    real, fake = torch.tensor([5.0, 2.0]), torch.tensor([5.0 - math.log(3.0), 2.0])
    # softplus(log 3) = log 4, softplus(−log 3) = log 4/3
    assert relativistic_pairing_generator(fake, real).item() == pytest.approx((math.log(4) + LOG2) / 2, abs=1e-6)
    expected = (math.log(4 / 3) + LOG2) / 2
    assert relativistic_pairing_discriminator(real, fake).item() == pytest.approx(expected, abs=1e-6)
    shifted = relativistic_pairing_discriminator(real + 7, fake + 7)
    assert shifted.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("base", sorted(set(OBJECTIVES.kinds()) - {"gat"}))
def test_gat_adds_the_weighted_bound_to_any_objective(base: str) -> None:
    real, fake = torch.tensor([0.3, -0.2]), torch.tensor([0.1, 0.7])
    objective, bound = OBJECTIVES.parse({"kind": base}), OBJECTIVES.parse({"kind": "f-divergence", "divergence": "kl"})
    gat = GatConfig.model_validate({"base": {"kind": base}, "divergence": "kl", "weight": 0.5})
    expected = objective.discriminator_loss(real, fake) + 0.5 * bound.discriminator_loss(real, fake)
    assert gat.discriminator_loss(real, fake).item() == pytest.approx(expected.item(), abs=1e-6)
    expected = objective.generator_loss(fake, real) + 0.5 * bound.generator_loss(fake)
    assert gat.generator_loss(fake, real).item() == pytest.approx(expected.item(), abs=1e-6)
    assert gat.compares == objective.compares


@pytest.mark.parametrize("kind", OBJECTIVES.kinds())
def test_real_logits_matter_where_the_objective_says_so(kind: str) -> None:
    objective = OBJECTIVES.lookup(kind)(kind=kind)
    fake = torch.tensor([0.1, 0.7])
    same = objective.generator_loss(fake, torch.zeros(2)) == objective.generator_loss(fake, torch.ones(2))
    assert bool(same) != objective.compares

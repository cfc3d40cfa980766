"""Bounds of f-divergences against the divergences themselves."""

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from trainer.objectives.f_divergence import (
    DIVERGENCES,
    DivergenceName,
    FDivergenceConfig,
    conjugate_discriminator,
    conjugate_generator,
)
from trainer.objectives.minimax import minimax_discriminator, minimax_generator

NAMES = get_args(DivergenceName)
OUTPUTS = torch.linspace(-3, 3, 25, dtype=torch.float64)

# f of table 1 of the paper, as a function of u = p / q.
GENERATORS: dict[str, Callable[[Tensor], Tensor]] = {
    "js": lambda u: -(u + 1) * ((1 + u) / 2).log() + u * u.log(),
    "gan": lambda u: u * u.log() - (u + 1) * (u + 1).log(),
    "kl": lambda u: u * u.log(),
    "reverse-kl": lambda u: -u.log(),
    "pearson": lambda u: (u - 1).square(),
    "squared-hellinger": lambda u: (u.sqrt() - 1).square(),
}

# f'(1), the threshold between real and generated, of table 2.
THRESHOLDS = {"js": 0.0, "gan": -math.log(2), "kl": 1.0, "reverse-kl": -1.0, "pearson": 0.0, "squared-hellinger": 0.0}


def test_every_divergence_is_tested() -> None:
    assert set(NAMES) == set(DIVERGENCES) == set(GENERATORS) == set(THRESHOLDS)


@pytest.mark.parametrize("name", NAMES)
def test_the_simplified_form_is_the_two_steps(name: DivergenceName) -> None:
    divergence = DIVERGENCES[name]
    expected = divergence.conjugate(divergence.activation(OUTPUTS))
    assert torch.allclose(divergence.conjugate_of_activation(OUTPUTS), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_activation_increases(name: DivergenceName) -> None:
    assert (DIVERGENCES[name].activation(OUTPUTS).diff() > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_conjugate_is_fenchel_s(name: DivergenceName) -> None:
    """f*(t) = sup over u of u t − f(u), the supremum taken on a fine grid."""
    u = torch.logspace(-4, 4, 400_001, base=math.e, dtype=torch.float64)
    f = GENERATORS[name](u)
    for v in (-1.0, 0.0, 0.9):
        t = DIVERGENCES[name].activation(torch.tensor(v, dtype=torch.float64))
        supremum = (u * t - f).max()
        assert DIVERGENCES[name].conjugate(t).item() == pytest.approx(supremum.item(), abs=1e-6), v


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_is_reached_by_the_best_discriminator(name: DivergenceName) -> None:
    """For p = (3/4, 1/4) and q = (1/4, 3/4): V with g_f(V) = f'(p/q) gives exactly D_f(P‖Q), no other V more."""
    ratio = torch.tensor([3.0, 1 / 3], dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(GENERATORS[name](ratio).sum(), ratio)
    p, q = torch.tensor([0.75, 0.25], dtype=torch.float64), torch.tensor([0.25, 0.75], dtype=torch.float64)
    exact = (q * GENERATORS[name](p / q)).sum().item()
    divergence = DIVERGENCES[name]
    assert (p * slope - q * divergence.conjugate(slope)).sum().item() == pytest.approx(exact, abs=1e-9)
    for outputs in torch.cartesian_prod(OUTPUTS, OUTPUTS):
        bound = p * divergence.activation(outputs) - q * divergence.conjugate_of_activation(outputs)
        assert bound.sum().item() <= exact + 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_thresholds_of_table_2(name: DivergenceName) -> None:
    one = torch.ones((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(GENERATORS[name](one), one)
    assert slope.item() == pytest.approx(THRESHOLDS[name], abs=1e-9)


def test_the_gan_row_is_the_minimax_loss() -> None:
    real, fake = torch.randn(16), torch.randn(16)
    gan = DIVERGENCES["gan"]
    assert conjugate_generator(fake, gan).item() == pytest.approx(minimax_generator(fake).item(), abs=1e-6)
    expected = minimax_discriminator(real, fake).item()
    assert conjugate_discriminator(real, fake, gan).item() == pytest.approx(expected, abs=1e-6)


def test_values_worked_out_by_hand() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert conjugate_generator(fake, DIVERGENCES["pearson"]).item() == pytest.approx(-(0 + 3) / 2, abs=1e-6)
    assert conjugate_discriminator(real, fake, DIVERGENCES["pearson"]).item() == pytest.approx(1.5 - 2, abs=1e-6)
    assert FDivergenceConfig(divergence="reverse-kl").generator_loss(fake).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_bound_has_gradients(name: DivergenceName) -> None:
    """Unlike the log-softmax of a single logit that circulates as this loss, which is a constant."""
    logits = torch.zeros(3, requires_grad=True)
    (gradients,) = torch.autograd.grad(conjugate_generator(logits, DIVERGENCES[name]), logits)
    assert (gradients < 0).all()

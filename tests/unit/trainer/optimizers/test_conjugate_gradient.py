"""Conjugate gradients against two steps worked out by hand, and on a quadratic."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainer.optimizers.conjugate_gradient import BETA_RULES, BetaRule, ConjugateGradient, Terms, beta

# g₀ = (3, 4), g₁ = (1, 2), d₀ = (−2, 1), so y = (−2, −2): ‖g₀‖² = 25, ‖g₁‖² = 5, ⟨g₁, y⟩ = −6, ⟨d₀, y⟩ = 2,
# ‖y‖² = 8, ⟨g₁, d₀⟩ = 0.
FIRST = Terms(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]), torch.tensor([-2.0, 1.0]))
# g₀ = (1, 0), g₁ = (1, 1), d₀ = (−1, 2), so y = (0, 1): ‖g₀‖² = 1, ‖g₁‖² = 2, ⟨g₁, y⟩ = 1, ⟨d₀, y⟩ = 2,
# ‖y‖² = 1, ⟨g₁, d₀⟩ = 1.
SECOND = Terms(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 2.0]))


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ("FR", 5 / 25, 2.0),
        ("PRP", -6 / 25, 1.0),
        ("HS", -3.0, 0.5),
        ("DY", 2.5, 1.0),
        ("HZ", -3.0 - 0, 0.5 - 2 * 1 * 1 / 4),
        ("HS-DY", 0.0, 0.5),
        ("FR-PRP", 0.0, 1.0),
    ],
)
def test_rules_by_hand(rule: BetaRule, first: float, second: float) -> None:
    assert beta(rule, FIRST).item() == pytest.approx(first, abs=1e-6)
    assert beta(rule, SECOND).item() == pytest.approx(second, abs=1e-6)


def run(gradients: list[Tensor], rule: BetaRule, beta_max: float = 0.5) -> list[list[float]]:
    """Directions taken at those gradients."""
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = ConjugateGradient([parameter], 1.0, rule, beta_max)
    directions = []
    for gradient in gradients:
        before = parameter.detach().clone()
        parameter.grad = gradient.clone()
        optimizer.step()
        directions.append((parameter.detach() - before).tolist())
    return directions


def test_the_first_step_descends() -> None:
    assert run([torch.tensor([3.0, 4.0])], "FR") == [[-3.0, -4.0]]


def test_the_direction_is_updated_once_per_step() -> None:
    """β = 5/25 = 0.2: d₁ = −(1, 2) + 0.2 · (−3, −4)."""
    _, second = run([torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])], "FR")
    assert second == pytest.approx([-1.6, -2.8], abs=1e-6)


def test_beta_is_bounded() -> None:
    """FR says 25/5; at most ½ is taken: d₁ = −(3, 4) + ½ · (−1, −2)."""
    _, second = run([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])], "FR")
    assert second == pytest.approx([-3.5, -5.0], abs=1e-6)
    _, second = run([torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])], "PRP")  # −6/25 counts as 0
    assert second == pytest.approx([-1.0, -2.0], abs=1e-6)


def test_a_direction_that_would_ascend_restarts() -> None:
    """g₀ = (10, 0), g₁ = (−1, 0): β = 0.01 gives d₁ = (1 − 0.1, 0), a descent; with β = ½ of a long d₀ it is none."""
    _, second = run([torch.tensor([10.0, 0.0]), torch.tensor([-1.0, 0.0])], "FR")
    assert second == pytest.approx([0.9, 0.0], abs=1e-6)
    # y = (−11, 0), ⟨d₀, y⟩ = 110, DY = 1/110; PRP: ⟨g₁, y⟩ / 100 = 0.11, d₁ = 1 − 0.11 · 10 < 0: restart at −g₁
    _, second = run([torch.tensor([10.0, 0.0]), torch.tensor([-1.0, 0.0])], "PRP")
    assert second == pytest.approx([1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("rule", BETA_RULES)
def test_gradients_that_vanish_or_repeat_do_no_harm(rule: BetaRule) -> None:
    still, same = torch.zeros(2), torch.tensor([1.0, 2.0])
    for directions in (run([still, still, same], rule), run([same, same, same], rule)):
        assert torch.isfinite(torch.tensor(directions)).all()


def test_inner_products_run_over_all_parameters() -> None:
    whole = run([torch.tensor([3.0, 4.0]), torch.tensor([1.0, 2.0])], "FR")
    parts = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    optimizer = ConjugateGradient(parts, 1.0, "FR")
    for gradient in ([3.0, 4.0], [1.0, 2.0]):
        before = [part.item() for part in parts]
        for part, number in zip(parts, gradient, strict=True):
            part.grad = torch.tensor([number])
        optimizer.step()
    moved = [part.item() - start for part, start in zip(parts, before, strict=True)]
    assert moved == pytest.approx(whole[1], abs=1e-6)


def quadratic(parameter: Tensor) -> Tensor:
    """½ xᵀ A x with eigenvalues 1 and 10."""
    return (torch.tensor([1.0, 10.0]) * parameter.square()).sum() / 2


def descend(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """So many steps on `quadratic`."""
    for _ in range(steps):
        optimizer.zero_grad()
        quadratic(parameter).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.mark.parametrize("rule", BETA_RULES)
def test_every_rule_converges_on_a_quadratic(rule: BetaRule) -> None:
    parameter = nn.Parameter(torch.tensor([3.0, -2.0]))
    descend(parameter, ConjugateGradient([parameter], 0.05, rule), 300)
    assert parameter.detach().abs().max().item() < 1e-3


@pytest.mark.parametrize("rule", BETA_RULES)
def test_resume_is_exact(rule: BetaRule) -> None:
    whole = nn.Parameter(torch.tensor([3.0, -2.0]))
    descend(whole, ConjugateGradient([whole], 0.05, rule), 20)
    first = nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = ConjugateGradient([first], 0.05, rule)
    descend(first, optimizer, 7)
    saved: dict[str, Any] = copy.deepcopy(optimizer.state_dict())
    second = nn.Parameter(first.detach().clone())
    resumed = ConjugateGradient([second], 0.05, rule)
    resumed.load_state_dict(saved)
    descend(second, resumed, 13)
    assert torch.equal(whole, second)

"""Conjugate gradients for adversarial games (Naganuma and Iiduka 2023, "Conjugate gradient method for generative
adversarial networks", algorithm 1).

Directions follow d₀ = −g₀, dₙ = −gₙ + βₙ dₙ₋₁, and parameters θₙ₊₁ = θₙ + α dₙ. Inner products run over all
parameters of the optimizer. With yₙ = gₙ − gₙ₋₁ the rules for β are, each by its authors' initials:

======  ==========================================================
FR      ‖gₙ‖² / ‖gₙ₋₁‖²
PRP     ⟨gₙ, yₙ⟩ / ‖gₙ₋₁‖²
HS      ⟨gₙ, yₙ⟩ / ⟨dₙ₋₁, yₙ⟩
DY      ‖gₙ‖² / ⟨dₙ₋₁, yₙ⟩
HZ      HS − μ ‖yₙ‖² ⟨gₙ, dₙ₋₁⟩ / ⟨dₙ₋₁, yₙ⟩², with μ = 2
HS-DY   max(0, min(HS, DY))
FR-PRP  max(0, min(FR, PRP))
======  ==========================================================

Whatever the rule says, β is kept within 0 … `beta_max`, which the paper's convergence needs (assumption on βₙ:
at most 1/2), and where dₙ would not descend, ⟨dₙ, gₙ⟩ ≥ 0, the direction restarts as −gₙ.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.optimizers.base import OptimizerConfig

BetaRule = Literal["FR", "PRP", "HS", "DY", "HZ", "HS-DY", "FR-PRP"]
BETA_RULES: tuple[BetaRule, ...] = get_args(BetaRule)
Vector = Sequence[Tensor]
"""One tensor per parameter, of its shape: a vector of the space of all parameters."""

_MU = 2.0


class Terms:
    """What the rules are made of, each computed when it is first asked for."""

    def __init__(self, gradient: Vector, last_gradient: Vector, last_direction: Vector) -> None:
        """gₙ, gₙ₋₁ and dₙ₋₁."""
        self._gradient, self._last_gradient, self._last_direction = gradient, last_gradient, last_direction

    @cached_property
    def change(self) -> Vector:
        """yₙ."""
        return torch._foreach_sub(tuple(self._gradient), tuple(self._last_gradient))

    @cached_property
    def square(self) -> Tensor:
        """‖gₙ‖²."""
        return _inner(self._gradient, self._gradient)

    @cached_property
    def last_square(self) -> Tensor:
        """‖gₙ₋₁‖²."""
        return _inner(self._last_gradient, self._last_gradient)

    @cached_property
    def turned(self) -> Tensor:
        """⟨gₙ, yₙ⟩."""
        return _inner(self._gradient, self.change)

    @cached_property
    def along(self) -> Tensor:
        """⟨dₙ₋₁, yₙ⟩."""
        return _inner(self._last_direction, self.change)

    @cached_property
    def slope(self) -> Tensor:
        """⟨gₙ, dₙ₋₁⟩."""
        return _inner(self._gradient, self._last_direction)


def beta(rule: BetaRule, terms: Terms) -> Tensor:
    """βₙ by the module's table, before it is bounded, a scalar; not finite where a denominator is zero."""
    return _RULES[rule](terms)


def _fr(terms: Terms) -> Tensor:
    return terms.square / terms.last_square


def _prp(terms: Terms) -> Tensor:
    return terms.turned / terms.last_square


def _hs(terms: Terms) -> Tensor:
    return terms.turned / terms.along


def _dy(terms: Terms) -> Tensor:
    return terms.square / terms.along


def _hz(terms: Terms) -> Tensor:
    return _hs(terms) - _MU * _inner(terms.change, terms.change) * terms.slope / terms.along.square()


_RULES: dict[BetaRule, Callable[[Terms], Tensor]] = {
    "FR": _fr,
    "PRP": _prp,
    "HS": _hs,
    "DY": _dy,
    "HZ": _hz,
    "HS-DY": lambda terms: torch.minimum(_hs(terms), _dy(terms)).clamp(min=0),
    "FR-PRP": lambda terms: torch.minimum(_fr(terms), _prp(terms)).clamp(min=0),
}


class ConjugateGradient(torch.optim.Optimizer):
    """Algorithm 1 for any number of parameters. Its state per parameter is the last gradient and direction."""

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, rule: BetaRule = "FR-PRP", beta_max: float = 0.5
    ) -> None:
        super().__init__(parameters, {"lr": lr})
        self._rule, self._beta_max = rule, beta_max

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; others count as having a gradient of zero."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        gradient = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        if any(self.state[each] for each in parameters):
            self._turn(parameters, gradient)
        else:
            for parameter, own in zip(parameters, gradient, strict=True):
                # Copies: the next backward pass overwrites the parameters' own gradients.
                self.state[parameter] = {"gradient": own.clone(), "direction": -own}
        for group in self.param_groups:
            torch._foreach_add_(group["params"], self._recall("direction", group["params"]), alpha=group["lr"])
        return loss

    def _turn(self, parameters: list[nn.Parameter], gradient: list[Tensor]) -> None:
        """Direction and gradient of this step in place of the last ones."""
        last_gradient, direction = self._recall("gradient", parameters), self._recall("direction", parameters)
        terms = Terms(gradient, last_gradient, direction)
        factor = beta(self._rule, terms)
        # Zero where a denominator was zero; without a branch, so that a GPU need not wait for the answer.
        factor = torch.where(factor.isfinite(), factor, 0.0).clamp(0.0, self._beta_max)
        descends = factor * terms.slope - terms.square < 0
        torch._foreach_mul_(direction, torch.where(descends, factor, 0.0))
        torch._foreach_sub_(direction, gradient)
        torch._foreach_copy_(last_gradient, gradient)

    def _recall(self, name: str, parameters: list[nn.Parameter]) -> list[Tensor]:
        return [self.state[parameter][name] for parameter in parameters]


def _inner(left: Vector, right: Vector) -> Tensor:
    """⟨left, right⟩, a scalar."""
    return torch.stack([a.flatten().dot(b.flatten()) for a, b in zip(left, right, strict=True)]).sum()


class ConjugateGradientConfig(OptimizerConfig):
    """Gradient descent that keeps a part of its last direction, as much as a rule of conjugacy says."""

    kind: Literal["conjugate-gradient"] = "conjugate-gradient"
    """Which optimizer."""

    rule: BetaRule = "FR-PRP"
    """How β follows from the last two gradients."""

    beta_max: float = Field(default=0.5, ge=0, lt=1)
    """Bound of β; 0 makes it plain gradient descent."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return ConjugateGradient(parameters, self.learning_rate, self.rule, self.beta_max)

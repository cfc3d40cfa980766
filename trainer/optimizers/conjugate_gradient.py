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

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.optimizers.base import OptimizerConfig

BetaRule = Literal["FR", "PRP", "HS", "DY", "HZ", "HS-DY", "FR-PRP"]
BETA_RULES: tuple[BetaRule, ...] = get_args(BetaRule)
_MU = 2.0


class Terms:
    """What the rules are made of, each computed when it is first asked for."""

    def __init__(self, gradient: Tensor, last_gradient: Tensor, last_direction: Tensor) -> None:
        """gₙ, gₙ₋₁ and dₙ₋₁, float ``[k]``."""
        self._gradient, self._last_gradient, self._last_direction = gradient, last_gradient, last_direction

    @cached_property
    def change(self) -> Tensor:
        """yₙ."""
        return self._gradient - self._last_gradient

    @cached_property
    def square(self) -> Tensor:
        """‖gₙ‖²."""
        return self._gradient.dot(self._gradient)

    @cached_property
    def last_square(self) -> Tensor:
        """‖gₙ₋₁‖²."""
        return self._last_gradient.dot(self._last_gradient)

    @cached_property
    def turned(self) -> Tensor:
        """⟨gₙ, yₙ⟩."""
        return self._gradient.dot(self.change)

    @cached_property
    def along(self) -> Tensor:
        """⟨dₙ₋₁, yₙ⟩."""
        return self._last_direction.dot(self.change)

    @cached_property
    def slope(self) -> Tensor:
        """⟨gₙ, dₙ₋₁⟩."""
        return self._gradient.dot(self._last_direction)


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
    return _hs(terms) - _MU * terms.change.dot(terms.change) * terms.slope / terms.along.square()


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
    """Algorithm 1 for any number of parameters.

    Its state is the last gradient and the last direction over all parameters, kept with the first of them.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, rule: BetaRule = "FR", beta_max: float = 0.5
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
        # A copy: the parameters' own gradients are overwritten by the next backward pass.
        gradient = torch.cat([_gradient(parameter).flatten() for parameter in parameters])
        state = self.state[parameters[0]]
        state["direction"] = self._turn(gradient, state["gradient"], state["direction"]) if state else -gradient
        state["gradient"] = gradient
        steps = iter(state["direction"].split([parameter.numel() for parameter in parameters]))
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.add_(next(steps).view(parameter.shape), alpha=group["lr"])
        return loss

    def _turn(self, gradient: Tensor, last_gradient: Tensor, last_direction: Tensor) -> Tensor:
        """The direction of this step, in the memory of the last one."""
        terms = Terms(gradient, last_gradient, last_direction)
        factor = beta(self._rule, terms)
        # Zero where a denominator was zero; without a branch, so that a GPU need not wait for the answer.
        factor = torch.where(factor.isfinite(), factor, 0.0).clamp(0.0, self._beta_max)
        descends = factor * terms.slope - terms.square < 0
        return last_direction.mul_(torch.where(descends, factor, 0.0)).sub_(gradient)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


class ConjugateGradientConfig(OptimizerConfig):
    """Gradient descent that keeps a part of its last direction, as much as a rule of conjugacy says."""

    kind: Literal["conjugate-gradient"] = "conjugate-gradient"
    """Which optimizer."""

    rule: BetaRule = "FR"
    """How β follows from the last two gradients."""

    beta_max: float = Field(default=0.5, ge=0, lt=1)
    """Bound of β; 0 makes it plain gradient descent."""

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimizer of `parameters`."""
        return ConjugateGradient(parameters, self.learning_rate, self.rule, self.beta_max)

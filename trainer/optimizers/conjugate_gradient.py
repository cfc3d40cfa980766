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
from typing import Any, Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.optimizers.base import OptimizerConfig

BetaRule = Literal["FR", "PRP", "HS", "DY", "HZ", "HS-DY", "FR-PRP"]
BETA_RULES: tuple[BetaRule, ...] = get_args(BetaRule)
_MU = 2.0


def beta(rule: BetaRule, gradient: Tensor, last_gradient: Tensor, last_direction: Tensor) -> Tensor:
    """βₙ before it is bounded, a scalar; not a number or infinite where a denominator is zero.

    Args:
        rule: see the module.
        gradient: gₙ, float ``[k]``.
        last_gradient: gₙ₋₁, float ``[k]``.
        last_direction: dₙ₋₁, float ``[k]``.
    """
    change = gradient - last_gradient
    along = last_direction.dot(change)
    fr = gradient.dot(gradient) / last_gradient.dot(last_gradient)
    prp = gradient.dot(change) / last_gradient.dot(last_gradient)
    hs = gradient.dot(change) / along
    dy = gradient.dot(gradient) / along
    hz = hs - _MU * change.dot(change) * gradient.dot(last_direction) / along.square()
    values: dict[BetaRule, Tensor] = {
        "FR": fr,
        "PRP": prp,
        "HS": hs,
        "DY": dy,
        "HZ": hz,
        "HS-DY": torch.minimum(hs, dy).clamp(min=0),
        "FR-PRP": torch.minimum(fr, prp).clamp(min=0),
    }
    return values[rule]


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
        parameters = [(parameter, group["lr"]) for group in self.param_groups for parameter in group["params"]]
        # A flat copy: the parameters' own gradients are overwritten by the next backward pass.
        gradient = torch.cat([_gradient(parameter).flatten() for parameter, _ in parameters])
        if any(self.state[parameter] for parameter, _ in parameters):
            direction = self._next_direction(gradient, self._recall("gradient"), self._recall("direction"))
        else:
            direction = -gradient
        start = 0
        for parameter, lr in parameters:
            end = start + parameter.numel()
            self.state[parameter] = {"gradient": gradient[start:end].clone(), "direction": direction[start:end].clone()}
            parameter.add_(direction[start:end].view(parameter.shape), alpha=lr)
            start = end
        return loss

    def _next_direction(self, gradient: Tensor, last_gradient: Tensor, last_direction: Tensor) -> Tensor:
        factor = beta(self._rule, gradient, last_gradient, last_direction)
        # Zero where a denominator was zero; without a branch, so that a GPU need not wait for the answer.
        factor = torch.where(factor.isfinite(), factor, 0.0).clamp(0.0, self._beta_max)
        descends = factor * last_direction.dot(gradient) - gradient.dot(gradient) < 0
        return torch.where(descends, factor, 0.0) * last_direction - gradient

    def _recall(self, name: str) -> Tensor:
        return torch.cat([self.state[parameter][name] for group in self.param_groups for parameter in group["params"]])


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


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

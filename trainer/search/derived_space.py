"""The search space of a recipe that was given none: rates, penalties, averages."""

from typing import Any

from trainer.optimizers import AdamConfig
from trainer.recipe import Recipe

_RATE_FACTOR, _PENALTY_FACTOR = 5.0, 10.0
_PENALTIES = ("gamma", "weight")
_DECAYS = (0.99, 0.995, 0.998, 0.999, 0.9995)
_BETA1, _BETA2 = (0.0, 0.5), (0.9, 0.99, 0.999)


def derived_space(recipe: Recipe) -> dict[str, Any]:
    """What is most often worth a search, around the recipe's own values, in the form of a search-space file.

    Both learning rates, the strength of every regularizer, the decay of the average, and Adam's betas.
    """
    space: dict[str, Any] = {}
    for player in ("generator_optimizer", "discriminator_optimizer"):
        rate = getattr(recipe, player).learning_rate
        space[f"{player}.learning_rate"] = _around(rate, _RATE_FACTOR, largest=1.0)
    for kind, regularizer in recipe.regularizers.items():
        for name in _PENALTIES:
            strength = getattr(regularizer, name, None)
            if isinstance(strength, int | float) and strength > 0:
                space[f"regularizers.{kind}.{name}"] = _around(strength, _PENALTY_FACTOR)
    space["ema.decay"] = sorted({*_DECAYS, recipe.ema.decay})
    for player in ("generator_optimizer", "discriminator_optimizer"):
        optimizer = getattr(recipe, player)
        if isinstance(optimizer, AdamConfig):
            space[f"{player}.beta1"] = sorted({*_BETA1, optimizer.beta1})
            space[f"{player}.beta2"] = sorted({*_BETA2, optimizer.beta2})
    return space


def _around(value: float, factor: float, largest: float = float("inf")) -> dict[str, Any]:
    """Orders of magnitude on both sides of `value`."""
    return {"low": float(f"{value / factor:.6g}"), "high": min(largest, float(f"{value * factor:.6g}")), "log": True}

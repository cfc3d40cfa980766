"""What is searched, and how: everything that the commands sharing a folder have to agree on."""

from typing import Any, Literal

from pydantic import Field

from trainer.config import Config
from trainer.search.objective import Objective

Pruning = Literal["median", "hyperband", "none"]

STEPS = 8
"""Times that a trial's objective is measured, evenly over its budget; the last time is the end."""


class SearchConfig(Config):
    """Written into the folder as `search.yaml`."""

    recipe: str
    """Name of the recipe."""

    settings: tuple[str, ...] = ()
    """``path=value`` overrides of the recipe that hold in every trial."""

    space: dict[str, Any]
    """Searched fields, as in a search-space file."""

    objective: Objective = "frechet"
    """What is compared on held-out images: `frechet`, the Fréchet distance, or `coverage`."""

    pruning: Pruning = "median"
    """When a trial is stopped early: `median`, where it is worse than the median of the others after as much of the
    budget; `hyperband`, successive halving in brackets (Li et al. 2018); `none`, never."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the suggestions; that of the trainings is the recipe's."""

    data_fingerprint: str
    """Of the training images."""

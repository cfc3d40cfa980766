"""The collapse alarm: what is seen of a run, judged against limits; two alarms end it.

::

    healthy ──sign out of its limits──> suspicious ──`patience` times in a row, or NaN at once──> alarm
    alarm 1: back to the best or the last healthy state, every learning rate times `rate_factor`
    alarm 2: back to that state once more, and the run stops with a verdict
"""

import math
from collections.abc import Mapping
from typing import Literal, TypedDict

from pydantic import Field

from trainer.config import Config

Verdict = Literal["healthy", "suspicious", "alarm"]


class AlarmConfig(Config):
    """Limits outside which a run counts as collapsed, and what follows."""

    enabled: bool = True
    """Whether limits are looked at; losses that are no longer numbers end a run in any case."""

    every: int = Field(default=12_800, ge=1)
    """Images between two looks at fresh samples."""

    samples: int = Field(default=250, ge=20, le=10_000)
    """Samples of the averaged generator per look."""

    warm_up: float = Field(default=0.1, ge=0, le=1)
    """Share of the budget at whose end samples are first judged: an untrained generator has no variety yet."""

    least_variety: float = Field(default=0.2, ge=0)
    """Mean pairwise distance of samples over that of training images, over all or within classes, whichever
    is less; clones come near 0."""

    largest_variety: float = Field(default=1.7, gt=0)
    """The same ratio from above: saturated noise is more varied than any picture."""

    least_classes: float = Field(default=0.15, ge=0, le=1)
    """Effective number of classes (exp of the entropy of what a rough classifier sees in the samples) over
    that of training images."""

    largest_margin: float = Field(default=1_000.0, gt=0)
    """Distance between the discriminator's mean logits of real and of generated images."""

    patience: int = Field(default=2, ge=1)
    """Looks in a row that must be out of limits."""

    rate_factor: float = Field(default=0.2, gt=0, le=1)
    """Factor of every learning rate after the first alarm."""


class AlarmState(TypedDict):
    """What a checkpoint keeps of an alarm."""

    alarms: int
    suspicions: int


class Alarm:
    """Judges one line of metrics after the other.

    Attributes:
        reasons: what was out of its limits in the last line, in words.
    """

    ALLOWED = 1

    def __init__(self, config: AlarmConfig) -> None:
        self._config = config
        self._state: AlarmState = {"alarms": 0, "suspicions": 0}
        self.reasons: list[str] = []

    @property
    def count(self) -> int:
        """Alarms so far."""
        return self._state["alarms"]

    @property
    def exhausted(self) -> bool:
        """Whether there were more alarms than a run is allowed."""
        return self.count > self.ALLOWED

    @property
    def rate(self) -> float:
        """Factor of every learning rate."""
        return self._config.rate_factor if self.count else 1.0

    def judge(self, metrics: Mapping[str, float], progress: float) -> Verdict:
        """What `metrics`, seen after the share `progress` of the budget, mean together with those before."""
        self.reasons = _not_numbers(metrics)
        if self.reasons:
            return self._raise()
        if self._config.enabled:
            self.reasons = self._out_of_limits(metrics, progress)
        if not self.reasons:
            if "variety" in metrics:
                self._state["suspicions"] = 0
            return "healthy"
        self._state["suspicions"] += 1
        return self._raise() if self._state["suspicions"] >= self._config.patience else "suspicious"

    def state_dict(self) -> AlarmState:
        """For the checkpoint."""
        return {"alarms": self._state["alarms"], "suspicions": self._state["suspicions"]}

    def load_state_dict(self, state: AlarmState) -> None:
        """Go on from what `state_dict` returned."""
        self._state = {"alarms": state["alarms"], "suspicions": state["suspicions"]}

    def _raise(self) -> Verdict:
        self._state = {"alarms": self.count + 1, "suspicions": 0}
        return "alarm"

    def _out_of_limits(self, metrics: Mapping[str, float], progress: float) -> list[str]:
        config, found = self._config, []
        if "variety" in metrics and progress >= config.warm_up:
            variety, classes = metrics["variety"], metrics.get("classes", 1.0)
            if variety < config.least_variety:
                found.append(f"samples are {variety:.2f} times as varied as real images (least {config.least_variety})")
            if variety > config.largest_variety:
                found.append(
                    f"samples are {variety:.2f} times as varied as real images (largest {config.largest_variety})"
                )
            if classes < config.least_classes:
                found.append(f"samples show {classes:.2f} of the classes (least {config.least_classes})")
        if {"logit_real", "logit_fake"} <= metrics.keys():
            margin = abs(metrics["logit_real"] - metrics["logit_fake"])
            if margin > config.largest_margin:
                found.append(
                    f"the discriminator tells real from generated by {margin:.3g} (largest {config.largest_margin:g})"
                )
        return found


def _not_numbers(metrics: Mapping[str, float]) -> list[str]:
    return [f"{name} became {value}" for name, value in metrics.items() if not math.isfinite(value)]

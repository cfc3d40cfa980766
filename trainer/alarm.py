"""The collapse alarm: what is seen of a run, judged against limits; two alarms end it.

Losses are judged from the first line on. Samples are judged once they have been good, for that is what can be lost: a
slow starter shows clones for minutes and then begins to learn.

::

    healthy ──sign out of its limits──> suspicious ──`patience` times in a row, or NaN at once──> alarm
    alarm 1: back to the best or the last healthy state, every learning rate times `rate_factor`
    alarm 2: back to that state once more, and the run stops with a verdict
"""

import math
from collections.abc import Iterator, Mapping
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

    begun: float = Field(default=2.0, ge=1)
    """Samples are judged once they have shown so many times the least variety and the least classes."""

    least_variety: float = Field(default=0.2, ge=0)
    """Mean pairwise distance of samples over that of training images, over all or within classes, whichever
    is less; clones come near 0."""

    dead: float = Field(default=0.02, ge=0)
    """The least variety of samples that are not judged yet: untrained generators have three times as much or more,
    those whose units are all saturated have none."""

    largest_variety: float = Field(default=1.7, gt=0)
    """The same ratio from above: saturated noise is more varied than any picture."""

    least_classes: float = Field(default=0.15, ge=0, le=1)
    """Effective number of classes (exp of the entropy of what a rough classifier sees in the samples) over
    that of training images."""

    largest_excess: float = Field(default=1.5, gt=0)
    """The discriminator's loss less its loss at equal logits: one that is worse than one that says nothing does not
    learn, it is thrown about."""

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
    begun: bool


class Alarm:
    """Judges one line of metrics after the other.

    Attributes:
        reasons: what was out of its limits in the last line, in words.
    """

    ALLOWED = 1

    def __init__(self, config: AlarmConfig, idle_loss: float) -> None:
        """`idle_loss` is the discriminator's loss at equal logits."""
        self._config, self._idle_loss = config, idle_loss
        self._state: AlarmState = {"alarms": 0, "suspicions": 0, "begun": False}
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

    def judge(self, metrics: Mapping[str, float]) -> Verdict:
        """What `metrics` mean together with those before."""
        self.reasons = _not_numbers(metrics)
        if self.reasons:
            return self._raise()
        if self._config.enabled:
            self.reasons = self._out_of_limits(metrics)
        if not self.reasons:
            if "variety" in metrics:
                self._state["suspicions"] = 0
            return "healthy"
        self._state["suspicions"] += 1
        return self._raise() if self._state["suspicions"] >= self._config.patience else "suspicious"

    def state_dict(self) -> AlarmState:
        """For the checkpoint."""
        return self._state.copy()

    def load_state_dict(self, state: AlarmState, *, alarms: int | None = None) -> None:
        """Go on from what `state_dict` returned, with so many `alarms` if they have been more since."""
        self._state = state.copy()
        if alarms is not None:
            self._state |= {"alarms": alarms, "suspicions": 0}

    def _raise(self) -> Verdict:
        self._state |= {"alarms": self.count + 1, "suspicions": 0}
        return "alarm"

    def _out_of_limits(self, metrics: Mapping[str, float]) -> list[str]:
        found = list(self._bad_losses(metrics))
        if "variety" in metrics:
            found += self._bad_samples(metrics["variety"], metrics.get("classes", 1.0))
        return found

    def _bad_losses(self, metrics: Mapping[str, float]) -> Iterator[str]:
        most = self._config.largest_margin
        margin = abs(metrics.get("logit_real", 0.0) - metrics.get("logit_fake", 0.0))
        if margin > most:
            yield f"the discriminator tells real from generated by {margin:.3g} (largest {most:g})"
        most = self._config.largest_excess
        excess = metrics.get("loss_discriminator", 0.0) - self._idle_loss
        if excess > most:
            yield f"the discriminator's loss is {excess:.3g} above that of equal logits (largest {most:g})"

    def _bad_samples(self, variety: float, classes: float) -> Iterator[str]:
        config = self._config
        self._state["begun"] |= (
            config.begun * config.least_variety <= variety <= config.largest_variety
            and classes >= config.begun * config.least_classes
        )
        if not self._state["begun"]:
            if variety < config.dead:
                yield f"samples are {variety:.3f} times as varied as real images (least {config.dead} at first)"
            return
        if variety < config.least_variety:
            yield f"samples are {variety:.2f} times as varied as real images (least {config.least_variety})"
        if variety > config.largest_variety:
            yield f"samples are {variety:.2f} times as varied as real images (largest {config.largest_variety})"
        if classes < config.least_classes:
            yield f"samples show {classes:.2f} of the classes (least {config.least_classes})"


def _not_numbers(metrics: Mapping[str, float]) -> list[str]:
    return [f"{name} became {value}" for name, value in metrics.items() if not math.isfinite(value)]

"""What a run looks at on the way beside its losses: vital signs for the alarm, quality for the best checkpoint."""

from collections.abc import Callable
from functools import cached_property

from trainer.data.images import LabelledImages
from trainer.networks.base import Generator
from trainer.quality import Quality, QualityState, better
from trainer.recipe import Recipe
from trainer.vitals import VitalSigns

_QUALITY_STATISTICS = 2_000  # images for batch-norm statistics: exact enough to compare checkpoints
_SIGN_STATISTICS = 250
QUALITY_PREFIX = "quality_"


class Watch:
    """When to look, what was seen, and which quality was best."""

    def __init__(self, recipe: Recipe, real: LabelledImages) -> None:
        self._recipe, self._real = recipe, real
        self.state: QualityState = {"best": None, "images": 0, "reached": False}

    @property
    def measures_quality(self) -> bool:
        """Whether the recipe makes use of quality on the way."""
        return self._recipe.training.keep == "best" or self._recipe.budget.target is not None

    def look(
        self, average: Callable[[int], Generator], before: int, images: int, *, finished: bool
    ) -> dict[str, float]:
        """What is due between `before` and `images` images, by name; empty where nothing is.

        Args:
            average: the averaged generator with batch-norm statistics over so many images.
            finished: whether the budget ends here, where quality is always measured.
        """
        alarm, quality = self._recipe.alarm, self._recipe.quality
        if self.measures_quality and (finished or _crossed(quality.every, before, images)):
            measured = self._quality.measure(average(_QUALITY_STATISTICS))
            target = self._recipe.budget.target
            if target is not None and target.reached(measured):
                self.state["reached"] = True
            signs = {name: value for name, value in measured.items() if name != "frechet_ratio"}
            return {f"{QUALITY_PREFIX}{name}": value for name, value in measured.items()} | signs
        if alarm.enabled and _crossed(alarm.every, before, images):
            return self._signs.measure(average(_SIGN_STATISTICS))
        return {}

    def is_due(self, before: int, images: int) -> bool:
        """Whether `look` would look, the end of the run aside."""
        alarm, quality = self._recipe.alarm, self._recipe.quality
        return (alarm.enabled and _crossed(alarm.every, before, images)) or (
            self.measures_quality and _crossed(quality.every, before, images)
        )

    def improves(self, seen: dict[str, float], images: int) -> bool:
        """Whether `seen` holds the best quality so far, which is remembered."""
        metric = self._recipe.quality.metric
        value = seen.get(f"{QUALITY_PREFIX}{metric}")
        best = self.state["best"]
        if value is None or (best is not None and not better(metric, value, best)):
            return False
        self.state["best"], self.state["images"] = value, images
        return True

    @cached_property
    def _signs(self) -> VitalSigns:
        return VitalSigns(self._real, self._recipe.alarm.samples)

    @cached_property
    def _quality(self) -> Quality:
        return Quality(self._recipe.quality, self._real)


def _crossed(every: int, before: int, images: int) -> bool:
    """Whether a multiple of `every` lies in (before, images]."""
    return images // every > before // every

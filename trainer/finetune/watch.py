"""What a fine-tuning is watched for: how near it comes to images that it never sees, and whether it begins to copy
those that it does see."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.images import LabelledImages
from trainer.ema import generate
from trainer.evaluation import EvaluationConfig, Evaluator, draw_like
from trainer.finetune.recipe import FineTuneRecipe
from trainer.grids import to_uint8
from trainer.networks.base import Generator
from trainer.watch import QUALITY_PREFIX, Watch

_STATISTICS = 1_000  # images for batch-norm statistics: exact enough to compare states
_FIRST_SEED = 7_000_000  # row seeds apart from those by which the result is judged in the end
_COPYING_TWICE = 2

DISTANCE, COPYING = "kernel_distance", "copying_signs"


class HeldOutWatch(Watch):
    """See `Watch`. The best state is the one with the least kernel distance to held-out images among those that show no
    sign of copying; training ends when `patience` measurements in a row bring no better one, or two show copies."""

    def __init__(
        self,
        recipe: FineTuneRecipe,
        real: LabelledImages,
        evaluator: Evaluator,
        places: tuple[int, ...],
    ) -> None:
        """`real` is what is trained on; the evaluator's images have classes whose labels are ``places[i]`` there."""
        super().__init__(recipe, real)
        self._every, self._patience = recipe.quality.every, recipe.fine_tuning.patience
        self._evaluator, self._places = evaluator, np.array(places, np.int64)
        self._drawn = EvaluationConfig(samples=recipe.quality.samples, first_seed=_FIRST_SEED)

    @property
    def measures_quality(self) -> bool:
        """Not as `Watch` does: on held-out images."""
        return False

    @property
    def stopped_by(self) -> str:
        """What has ended, or would end, training."""
        if not self.state["reached"]:
            return "budget"
        return "copying" if self.state.get("copying", 0) >= _COPYING_TWICE else "patience"

    def look(
        self, average: Callable[[int], Generator], before: int, images: int, *, finished: bool
    ) -> dict[str, float]:
        """See `Watch.look`."""
        seen = super().look(average, before, images, finished=finished)
        if not (finished or self._crossed(before, images)):
            return seen
        drawn = self._draw(average(_STATISTICS))
        distance, signs = self._evaluator.held_out_distance(drawn).value, len(self._evaluator.copying(drawn))
        self.state["copying"] = self.state.get("copying", 0) + 1 if signs else 0
        if self.state["copying"] >= _COPYING_TWICE or self._out_of_patience(distance, images):
            self.state["reached"] = True
        return seen | {f"{QUALITY_PREFIX}{DISTANCE}": distance, f"{QUALITY_PREFIX}{COPYING}": float(signs)}

    def is_due(self, before: int, images: int) -> bool:
        """See `Watch.is_due`."""
        return super().is_due(before, images) or self._crossed(before, images)

    def improves(self, seen: dict[str, float], images: int) -> bool:
        """See `Watch.improves`."""
        distance, best = seen.get(f"{QUALITY_PREFIX}{DISTANCE}"), self.state["best"]
        if distance is None or seen[f"{QUALITY_PREFIX}{COPYING}"] or (best is not None and distance >= best):
            return False
        self.state["best"], self.state["images"] = distance, images
        return True

    def _draw(self, generator: Generator) -> NDArray[np.uint8]:
        def sampler(latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
            asked = self._places[labels] if generator.conditional else labels
            images = generate(generator, torch.from_numpy(latents), torch.from_numpy(asked))
            found: NDArray[np.uint8] = to_uint8(torch.nan_to_num(images)).numpy()
            return found

        held_out, dim = self._evaluator.data.held_out, generator.latent_dim
        return draw_like(self._drawn, held_out, dim, sampler, conditional=generator.conditional)

    def _crossed(self, before: int, images: int) -> bool:
        return images // self._every > before // self._every

    def _out_of_patience(self, distance: float, images: int) -> bool:
        best = self.state["best"]
        if not self._patience or best is None or distance < best:
            return False
        return images - self.state["images"] >= self._patience * self._every

"""What one command line asks of the studies."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Order:
    """Options of `latentd study` and of ``python -m trainer.results``.

    Attributes:
        data_path: images, as for `latentd train`.
        folder: runs, and the judges of images.
        figures: folder of what was measured, one file per row: what the file of results is made of.
        pictures: folder of sample grids and animations.
        pictures_link: the same, as seen from the file of results.
        minutes: training time of each recipe.
        samples: generated images that are compared with real ones.
        recipes: which to train; empty: what the study takes by default.
        jobs: recipes or cells of the study of scarcity that train at the same time.
        seeds: of the study of seeds.
        seed_minutes: its budgets.
        per_class: real images per class in the study of scarcity.
        repeats: its seeds, 0 … repeats − 1.
        distillation_steps: of pruned generators in the study of compression.
    """

    data_path: Path
    folder: Path
    figures: Path
    pictures: Path
    pictures_link: str
    minutes: float = 10.0
    samples: int = 10_000
    recipes: tuple[str, ...] = ()
    jobs: int = 1
    seeds: tuple[int, ...] = (0, 1, 2)
    seed_minutes: tuple[float, ...] = (2.0, 5.0, 10.0)
    per_class: tuple[int, ...] = (5, 10, 20, 50, 100)
    repeats: int = 5
    distillation_steps: int = 10_000

    def settings(self, minutes: float) -> tuple[str, ...]:
        """Overrides that put a recipe on these images for `minutes`, and publish fp32 alone."""
        path = json.dumps(str(self.data_path.resolve()))
        budget = f"budget={{images: null, max_minutes: {minutes:g}}}"
        return (f"data.path={path}", budget, "export.precisions=[fp32]", "training.grids=2")

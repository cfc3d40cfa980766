"""Which state is kept, and what ends a fine-tuning."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from runtime.fine_tuning import FineTuneConfig
from runtime.package import Package
from tests.kit.image_sets import digits
from trainer.data import DataConfig, DataSplit
from trainer.data.images import stratified_split
from trainer.evaluation import Evaluator
from trainer.evaluation.feature_choice import open_eyes
from trainer.finetune.ancestor import Ancestor
from trainer.finetune.recipe import make_recipe
from trainer.finetune.watch import HeldOutWatch
from trainer.networks.base import Generator


class Album(Generator):
    """Draws nothing, but shows given images, each at some seeds."""

    latent_dim = 4
    images: Tensor

    def __init__(self, images: np.ndarray, noise: float) -> None:
        super().__init__()
        self.register_buffer("images", torch.from_numpy(images).movedim(-1, 1).float() / 127.5 - 1)
        self._noise = noise
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        rows = (latents[:, 0].abs() * 1e4).long() % len(self.images)
        shown: Tensor = self.images[rows]
        return (shown + self._noise * torch.randn(shown.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


@pytest.fixture(scope="module")
def split() -> DataSplit:
    return stratified_split("digits", digits((3, 7), 200), 0.2, 0)


@pytest.fixture
def watch(base: Package, split: DataSplit) -> HeldOutWatch:
    config = FineTuneConfig(patience=3, epochs=100)
    recipe = make_recipe(Ancestor(base.path), config, DataConfig(), images=160, job="ft-1")
    evaluator = Evaluator(recipe.evaluation, split, open_eyes("pixels", split, base.path, 1000))
    return HeldOutWatch(recipe, split.train, evaluator, (3, 7))


EVERY = 160 * 100 // 25


def look(watch: HeldOutWatch, shown: Album, number: int) -> dict[str, float]:
    seen = watch.look(lambda _: shown, (number - 1) * EVERY, number * EVERY, finished=False)
    watch.improves(seen, number * EVERY)
    return seen


def test_it_looks_when_it_is_due(watch: HeldOutWatch) -> None:
    assert watch.is_due(EVERY - 1, EVERY)
    assert not watch.is_due(EVERY, EVERY + 1)


def test_unseen_digits_are_near_and_noise_is_far(watch: HeldOutWatch, split: DataSplit) -> None:
    unseen = digits((3, 7), 140, first=105).images
    near = look(watch, Album(unseen, 0.0), 1)
    far = look(watch, Album(unseen, 1.0), 2)
    assert near["quality_copying_signs"] == far["quality_copying_signs"] == 0
    assert 10 * abs(near["quality_kernel_distance"]) < far["quality_kernel_distance"]
    assert watch.state["images"] == EVERY
    assert watch.state["best"] == near["quality_kernel_distance"]


def test_copies_are_never_the_best_and_end_training(watch: HeldOutWatch, split: DataSplit) -> None:
    album = Album(split.train.images, 0.0)
    assert look(watch, album, 1)["quality_copying_signs"] > 0
    assert watch.state["best"] is None
    assert not watch.state["reached"]
    look(watch, album, 2)
    assert watch.state["reached"]
    assert watch.stopped_by == "copying"


def test_patience_counts_looks_without_a_better_one(watch: HeldOutWatch) -> None:
    unseen = digits((3, 7), 140, first=105).images
    noise = (0.6, 0.3, 0.4, 0.5, 0.6)
    reached = []
    for number, amount in enumerate(noise, start=1):
        look(watch, Album(unseen, amount), number)
        reached.append(watch.state["reached"])
    assert reached == [False, False, False, False, True]
    assert watch.state["images"] == 2 * EVERY
    assert watch.stopped_by == "patience"
    assert all(before <= after for before, after in pairwise(reached))


def test_a_budget_that_is_used_up_is_no_end_by_the_watch(watch: HeldOutWatch) -> None:
    assert watch.stopped_by == "budget"

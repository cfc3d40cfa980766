"""What is chosen for small sets, and what is handed down."""

from pathlib import Path
from typing import Any

import pytest

from runtime.fine_tuning import FineTuneConfig
from runtime.package import Package
from trainer.data import DataConfig
from trainer.finetune.ancestor import Ancestor
from trainer.finetune.recipe import FineTuneRecipe, make_recipe, shown_images


def made(base: Package, images: int = 160, **settings: Any) -> FineTuneRecipe:
    config = FineTuneConfig.model_validate(settings)
    return make_recipe(Ancestor(base.path), config, DataConfig(path="/data/mine"), images=images, job="ft-1")


def test_rates_are_scaled_from_those_of_the_beginning(base: Package) -> None:
    recipe = made(base)
    assert recipe.generator_optimizer.learning_rate == pytest.approx(0.5 * 5e-4)
    assert made(base, learning_rate_multiplier=3.0).discriminator_optimizer.learning_rate == pytest.approx(1.5 * 5e-4)
    assert made(base, adapter="norm").generator_optimizer.learning_rate == pytest.approx(2 * 5e-4)
    assert recipe.from_scratch.generator_rate == 5e-4


def test_small_sets_are_augmented_and_large_ones_are_not(base: Package) -> None:
    assert set(made(base).augmentations) == {"translation", "cutout"}
    assert made(base, images=6_000).augmentations == {}
    assert made(base, augment="none").augmentations == {}


@pytest.mark.parametrize(("images", "shown"), [(20, 20_000), (160, 64_000), (10_000, 200_000)])
def test_the_budget_grows_with_the_images_within_limits(images: int, shown: int) -> None:
    assert shown_images(images) == shown


def test_what_is_asked_for_is_taken(base: Package) -> None:
    recipe = made(base, epochs=5, batch_size=10, max_minutes=3, seed=9, require=["coverage>0.1"], licence="MIT")
    assert recipe.budget.images == 800
    assert recipe.budget.max_minutes == 3
    assert recipe.training.batch_size == 10
    assert recipe.seed == 9
    assert recipe.evaluation.require == ("coverage>0.1",)
    assert recipe.package.licence == "MIT"
    assert made(base, images=20).training.batch_size == 10
    assert recipe.start_from == str(base.path)
    assert recipe.base == "digits-cgan@1"


def test_precisions_are_the_packages_unless_others_are_asked_for(base: Package) -> None:
    assert made(base).export.precisions == ("fp32", "int8")
    assert made(base, precisions=["fp32"]).export.precisions == ("fp32",)


def test_it_can_be_written_and_read(base: Package, tmp_path: Path) -> None:
    recipe = made(base, adapter="low-rank")
    assert FineTuneRecipe.model_validate(recipe.model_dump(mode="json")) == recipe

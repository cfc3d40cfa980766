"""Everything that is known before the first step: package, images, classes, recipe."""

from dataclasses import dataclass
from pathlib import Path

from runtime.fine_tuning import FineTuneOrder
from trainer.data import DataSplit
from trainer.evaluation.gates import parse_gate
from trainer.finetune.ancestor import Ancestor
from trainer.finetune.classes import ClassPlan, plan_classes
from trainer.finetune.images import data_config, nearest_class, open_images, training_images
from trainer.finetune.recipe import FineTuneRecipe, make_recipe


@dataclass(frozen=True)
class Preparation:
    """What an order comes to.

    Attributes:
        images: those of the order, under their own classes: what the result is judged by.
        classes: of the new generator.
        trained_on: the same images and those that are rehearsed, under the new generator's classes.
    """

    ancestor: Ancestor
    images: DataSplit
    classes: ClassPlan
    trained_on: DataSplit
    recipe: FineTuneRecipe

    def describe(self) -> str:
        """Three lines for people."""
        recipe, size = self.recipe, "×".join(map(str, self.images.train.images.shape[1:]))
        rehearsed = len(self.trained_on.train) - len(self.images.train)
        return (
            f"{self.ancestor.reference} on {len(self.images.train):,} images {size} of {self.images.source}, "
            f"{len(self.images.held_out):,} held out"
            f"{f', and {rehearsed:,} that it draws itself' if rehearsed else ''}\n"
            f"{self.classes.describe(self.ancestor.manifest.classes)}\n"
            f"adapter: {recipe.fine_tuning.adapter}; batches of {recipe.training.batch_size}, at most "
            f"{recipe.budget.images:,} images or {recipe.budget.max_minutes:g} minutes"
        )


def prepare(order: FineTuneOrder, cache: Path) -> Preparation:
    """Read package and images, and choose what the order leaves open.

    Args:
        cache: folder for sets that do not fit in memory.

    Raises:
        TrainerError: package, images or settings cannot be used; in one sentence.
    """
    config = order.config
    for expression in config.require:
        parse_gate(expression)
    ancestor = Ancestor(Path(order.package))
    data = data_config(Path(order.data), config, ancestor.manifest)
    images = open_images(data, config, ancestor.manifest, cache)
    classes = plan_classes(
        ancestor.manifest.classes,
        images.train.class_names,
        config.classes,
        lambda label: nearest_class(ancestor, images.train, label),
    )
    trained_on = training_images(images, classes, ancestor, config.rehearsal)
    recipe = make_recipe(ancestor, config, data, images=len(trained_on.train), job=order.job)
    return Preparation(ancestor, images, classes, trained_on, recipe)

"""The recipe of a fine-tuning: that of the package, changed for a small set of images."""

from runtime.fine_tuning import FineTuneConfig
from trainer.augmentations import AUGMENTATIONS, AugmentationConfig
from trainer.budget import BudgetConfig
from trainer.data import DataConfig
from trainer.finetune.ancestor import Ancestor, FromScratch
from trainer.optimizers import OptimizerConfig
from trainer.quality import QualityConfig
from trainer.recipe import PackageConfig, Recipe

SMALL = 5_000
"""Images below which a discriminator learns them by heart unless it is shown changed ones."""

_LEAST_SHOWN, _MOST_SHOWN, _SHOWN_PER_IMAGE = 20_000, 200_000, 400
_LOOKS, _LINES, _ALARMS = 25, 100, 10
_LOOK_SAMPLES = 500
_RATE = {"none": 0.5, "norm": 2.0, "low-rank": 1.0}
_EXCESS = 6.0
_AVERAGED = 0.05


class FineTuneRecipe(Recipe):
    """See `Recipe`; everything that decides what comes out of a fine-tuning."""

    job: str
    """Identity of the job, see `FineTuneOrder`."""

    base: str
    """``name@version`` of the package it began with, wherever that lies."""

    fine_tuning: FineTuneConfig
    """What was asked for."""

    from_scratch: FromScratch
    """Handed down from package to package."""


def make_recipe(
    ancestor: Ancestor, config: FineTuneConfig, data: DataConfig, *, images: int, job: str
) -> FineTuneRecipe:
    """Everything that `config` leaves open, chosen.

    Args:
        images: to train on, those that are rehearsed included.
    """
    recipe, scratch, manifest = ancestor.recipe, ancestor.from_scratch, ancestor.manifest
    batch = config.batch_size or min(scratch.batch_size, max(8, images // 2))
    shown = images * config.epochs if config.epochs else shown_images(images)
    rate = config.learning_rate_multiplier
    precisions = config.precisions or [name for name in ("fp32", "int8") if name in manifest.precisions]
    changes = {
        "seed": config.seed,
        "job": job,
        "base": ancestor.reference,
        "fine_tuning": config,
        "from_scratch": scratch,
        "start_from": str(ancestor.path),
        "conditional": bool(manifest.classes),
        "data": data,
        "generator_optimizer": _with_rate(
            recipe.generator_optimizer, scratch.generator_rate * rate * _RATE[config.adapter]
        ),
        "discriminator_optimizer": _with_rate(
            recipe.discriminator_optimizer, scratch.discriminator_rate * rate * _RATE["none"]
        ),
        "augmentations": _augmentations(ancestor, config, images),
        "ema": recipe.ema.model_copy(update={"decay": min(scratch.ema_decay, _decay(shown / batch))}),
        "training": recipe.training.model_copy(
            update={
                "batch_size": batch,
                "accumulate": recipe.training.accumulate if batch % recipe.training.accumulate == 0 else 1,
                "log_every": max(batch, shown // _LINES),
                "grids": 8,
                "checkpoint_seconds": config.checkpoint_seconds,
                "keep": "best",
            }
        ),
        "budget": BudgetConfig(images=shown, max_minutes=config.max_minutes),
        # A discriminator that meets other images is much mistaken at first; that is no collapse.
        "alarm": recipe.alarm.model_copy(
            update={
                "every": max(batch, shown // _ALARMS),
                "largest_excess": max(_EXCESS, recipe.alarm.largest_excess),
            }
        ),
        "quality": QualityConfig(every=max(batch, shown // _LOOKS), samples=_LOOK_SAMPLES),
        "device": recipe.device.model_copy(update={"accelerator": config.device}),
        "export": recipe.export.model_copy(update={"precisions": tuple(precisions)}),
        "evaluation": recipe.evaluation.model_copy(update={"features": config.features, "require": config.require}),
        "package": PackageConfig(licence=config.licence, intended_use=config.intended_use),
    }
    values = {name: getattr(recipe, name) for name in Recipe.model_fields}
    return FineTuneRecipe.model_validate(values | changes)


def shown_images(images: int) -> int:
    """How many images are shown at most, repeats counted, where so many are there to train on."""
    return min(_MOST_SHOWN, max(_LEAST_SHOWN, _SHOWN_PER_IMAGE * images))


def _decay(steps: float) -> float:
    """Of an average that forgets half of what it knew in a twentieth of `steps`."""
    return float(0.5 ** (1 / max(1.0, _AVERAGED * steps)))


def _with_rate(optimizer: OptimizerConfig, rate: float) -> OptimizerConfig:
    return optimizer.model_copy(update={"learning_rate": min(1.0, rate)})


def _augmentations(ancestor: Ancestor, config: FineTuneConfig, images: int) -> dict[str, AugmentationConfig]:
    """Those of the recipe, and for small sets of stills those of DiffAugment (Zhao et al. 2020, section 4)."""
    output, own = ancestor.manifest.output, ancestor.recipe.augmentations
    if config.augment == "none":
        return {}
    if images >= SMALL or output.frames > 1:
        return own
    sections = {"translation": {}, "cutout": {"ratio": 0.3}, **({"colour": {}} if output.channels == 3 else {})}
    chosen: dict[str, AugmentationConfig] = AUGMENTATIONS.parse_by_key(sections)
    return chosen | own

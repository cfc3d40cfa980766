"""Differentiable augmentations, one per file. To add one: write its file, then one line here."""

from trainer.augmentations.base import AugmentationConfig
from trainer.augmentations.colour import ColourConfig
from trainer.augmentations.cutout import CutoutConfig
from trainer.augmentations.translation import TranslationConfig
from trainer.augmentations.warp import WarpConfig
from trainer.registry import Registry

__all__ = ["AUGMENTATIONS", "AugmentationConfig"]

AUGMENTATIONS: Registry[AugmentationConfig] = Registry("augmentation")
AUGMENTATIONS.register(TranslationConfig)
AUGMENTATIONS.register(CutoutConfig)
AUGMENTATIONS.register(ColourConfig)
AUGMENTATIONS.register(WarpConfig)

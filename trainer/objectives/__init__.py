"""Adversarial objectives, one per file. To add one: write its file, then one line here."""

from trainer.objectives.base import ObjectiveConfig
from trainer.objectives.hinge import HingeConfig
from trainer.objectives.non_saturating import NonSaturatingConfig
from trainer.registry import Registry

__all__ = ["OBJECTIVES", "ObjectiveConfig"]

OBJECTIVES: Registry[ObjectiveConfig] = Registry("objective")
OBJECTIVES.register(NonSaturatingConfig)
OBJECTIVES.register(HingeConfig)

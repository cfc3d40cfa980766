"""Optimizers, one per file. To add one: write its file, then one line here."""

from trainer.optimizers.adam import AdamConfig
from trainer.optimizers.base import OptimizerConfig
from trainer.optimizers.learning_rate import LearningRateConfig
from trainer.registry import Registry

__all__ = ["OPTIMIZERS", "AdamConfig", "LearningRateConfig", "OptimizerConfig"]

OPTIMIZERS: Registry[OptimizerConfig] = Registry("optimizer")
OPTIMIZERS.register(AdamConfig)

"""Optimizers, one per file. To add one: write its file, then one line here."""

from trainer.optimizers.adam import AdamConfig
from trainer.optimizers.base import OptimizerConfig
from trainer.optimizers.conjugate_gradient import ConjugateGradientConfig
from trainer.optimizers.learning_rate import LearningRateConfig
from trainer.optimizers.rmsprop import RmspropConfig
from trainer.optimizers.sgd import SgdConfig
from trainer.registry import Registry

__all__ = ["OPTIMIZERS", "AdamConfig", "LearningRateConfig", "OptimizerConfig"]

OPTIMIZERS: Registry[OptimizerConfig] = Registry("optimizer")
OPTIMIZERS.register(AdamConfig)
OPTIMIZERS.register(SgdConfig)
OPTIMIZERS.register(RmspropConfig)
OPTIMIZERS.register(ConjugateGradientConfig)

"""Regularizers, one per file. To add one: write its file, then one line here."""

from trainer.registry import Registry
from trainer.regularizers.base import RegularizerConfig
from trainer.regularizers.r1 import R1Config

__all__ = ["REGULARIZERS", "RegularizerConfig"]

REGULARIZERS: Registry[RegularizerConfig] = Registry("regularizer")
REGULARIZERS.register(R1Config)

"""Regularizers, one per file. To add one: write its file, then one line here."""

from trainer.registry import Registry
from trainer.regularizers.base import RegularizerConfig
from trainer.regularizers.consensus import ConsensusConfig
from trainer.regularizers.drop_connect import DropConnectConfig
from trainer.regularizers.gradient_penalty import GradientPenaltyConfig
from trainer.regularizers.l1 import L1Config
from trainer.regularizers.l2 import L2Config
from trainer.regularizers.r1 import R1Config
from trainer.regularizers.r2 import R2Config
from trainer.regularizers.spectral_norm import SpectralNormConfig
from trainer.regularizers.weight_clipping import WeightClippingConfig

__all__ = ["REGULARIZERS", "RegularizerConfig"]

REGULARIZERS: Registry[RegularizerConfig] = Registry("regularizer")
REGULARIZERS.register(R1Config)
REGULARIZERS.register(R2Config)
REGULARIZERS.register(GradientPenaltyConfig)
REGULARIZERS.register(L1Config)
REGULARIZERS.register(L2Config)
REGULARIZERS.register(WeightClippingConfig)
REGULARIZERS.register(DropConnectConfig)
REGULARIZERS.register(SpectralNormConfig)
REGULARIZERS.register(ConsensusConfig)

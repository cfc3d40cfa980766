"""Adversarial objectives, one per file. To add one: write its file, then one line here.

What is elsewhere called binary cross-entropy is `minimax` for the discriminator and, with generated images
labelled as real for the generator, `non-saturating`: the same numbers, so there is no third kind of that name.
"""

from trainer.objectives.base import OBJECTIVES, ObjectiveConfig
from trainer.objectives.f_divergence import FDivergenceConfig
from trainer.objectives.gat import GatConfig
from trainer.objectives.hinge import HingeConfig
from trainer.objectives.least_squares import LeastSquaresConfig
from trainer.objectives.minimax import MinimaxConfig
from trainer.objectives.non_saturating import NonSaturatingConfig
from trainer.objectives.relativistic_pairing import RelativisticPairingConfig
from trainer.objectives.softmax import SoftmaxConfig
from trainer.objectives.wasserstein import WassersteinConfig

__all__ = ["OBJECTIVES", "ObjectiveConfig"]

OBJECTIVES.register(NonSaturatingConfig)
OBJECTIVES.register(MinimaxConfig)
OBJECTIVES.register(HingeConfig)
OBJECTIVES.register(WassersteinConfig)
OBJECTIVES.register(LeastSquaresConfig)
OBJECTIVES.register(SoftmaxConfig)
OBJECTIVES.register(RelativisticPairingConfig)
OBJECTIVES.register(FDivergenceConfig)
OBJECTIVES.register(GatConfig)

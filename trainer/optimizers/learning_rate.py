"""The learning rate over the budget."""

from pydantic import Field

from trainer.config import Config


class LearningRateConfig(Config):
    """Learning rate over the budget in use, of images or of time: constant, then linear to a last value."""

    constant: float = Field(default=0.5, ge=0, le=1)
    """Share of the budget at the full rate."""

    last: float = Field(default=0.05, ge=0, le=1)
    """Share of the full rate reached at the end."""

    def factor(self, progress: float) -> float:
        """Factor of the rate after the share `progress` (0 … 1) of the budget."""
        progress = min(progress, 1.0)
        if progress <= self.constant:
            return 1.0
        return 1 - (1 - self.last) * (progress - self.constant) / (1 - self.constant)

"""A recipe's `training` section."""

from typing import Literal

from pydantic import Field, model_validator

from trainer.config import Config


class TrainingConfig(Config):
    """Steps, and what they leave in the run folder."""

    batch_size: int = Field(default=64, ge=2, le=65536)
    """Real images per step; as many are generated."""

    accumulate: int = Field(default=1, ge=1, le=4096)
    """Parts into which a batch is split; their gradients are summed up before each update, so that a step takes the
    memory of one part. What is taken over a batch, as batch normalization does, is taken over each part. A divisor
    of `batch_size`."""

    log_every: int = Field(default=6_400, ge=1)
    """Images between two lines of `metrics.jsonl`."""

    grids: int = Field(default=8, ge=0, le=1000)
    """Sample grids drawn over the budget, evenly spaced; 0 draws none."""

    checkpoint_seconds: float = Field(default=20.0, ge=0)
    """Least time between two checkpoints; 0 writes one at every line of `metrics.jsonl`."""

    keep: Literal["last", "best"] = "last"
    """What is packaged: the last state, or the one with the best `quality.metric` on the way."""

    @model_validator(mode="after")
    def _divisible(self) -> "TrainingConfig":
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate: {self.accumulate} equal parts of {self.batch_size} images do not exist")
        return self

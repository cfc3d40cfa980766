"""Settings of pruning, as the manifest stores them."""

from typing import Annotated, Literal

from pydantic import Field

from trainer.config import Config


class DistillationConfig(Config):
    """How the pruned generator learns from the whole one; no images are needed."""

    steps: int = Field(default=3000, ge=0, le=10_000_000)
    """Batches of latents; 0 leaves the generator as pruning left it."""

    batch_size: int = Field(default=64, ge=2, le=65_536)
    """Latents per step; of sequences fewer, so that there are as many frames."""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Of Adam, for the first part; it falls along a cosine in the second."""

    settled: float = Field(default=0.6, ge=0, le=1)
    """Share of the steps, the last ones, in which batch-norm statistics stand still: only then is an image a function
    of its latent alone, as it is when the generator is served."""

    features: float = Field(default=0.5, ge=0)
    """Weight of the distance in the package's own discriminator's features, where it has one that can be asked,
    relative to that of pixels; 0: pixels alone."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the latents."""


class ChannelPruningConfig(Config):
    """Structured: whole channels go, and the network that remains is an ordinary, smaller one."""

    method: Literal["prune-channels"] = "prune-channels"
    """Which method."""

    ratio: float = Field(default=0.5, gt=0, lt=1)
    """Share of the channels of every layer to remove. Half of them are about a quarter of the products."""

    criterion: Literal["scale", "norm"] = "scale"
    """Which channels stay: those with the largest batch-norm scale (Liu et al. 2017, "Network slimming", eq. 2), or
    with the largest weights (Li et al. 2017, "Pruning filters for efficient convnets", section 3.1). Layers without
    batch norm go by their weights."""

    distillation: DistillationConfig = DistillationConfig()
    """What follows."""


class WeightPruningConfig(Config):
    """Unstructured: the smallest weights of each layer become zero (Han et al. 2015, "Learning both weights and
    connections for efficient neural networks"). Neither the file nor the time changes."""

    method: Literal["prune-weights"] = "prune-weights"
    """Which method."""

    ratio: float = Field(default=0.5, gt=0, lt=1)
    """Share of the weights of every layer to set to zero."""

    distillation: DistillationConfig = DistillationConfig()
    """What follows; zeros stay zero."""


PruningConfig = Annotated[ChannelPruningConfig | WeightPruningConfig, Field(discriminator="method")]
"""Settings of either method, told apart by `method`."""

METHODS = ("prune-channels", "prune-weights")
"""Methods after which a checkpoint's batch-norm statistics are those that the graph was made with."""

"""How well an encoder and its generator give back images that neither has seen."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Measurement
from trainer.data import DataSplit
from trainer.evaluation import EvaluationConfig, Sampler

Encode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images uint8 ``[n, …]`` to latents float32 ``[n, dim]``."""


def reconstruction_error(config: EvaluationConfig, data: DataSplit, encode: Encode, sampler: Sampler) -> Measurement:
    """Mean squared error of held-out images' reconstructions over that of the mean training image: 0 is perfect, 1
    is no better than showing the mean."""
    unseen = data.held_out.at_most(config.samples)
    found = sampler(encode(unseen.images), np.zeros(len(unseen), np.int64))
    mean_image = data.train.images.mean(axis=0, dtype=np.float64)
    error = np.square(found.astype(np.float64) - unseen.images).mean()
    return Measurement(value=float(error / np.square(mean_image - unseen.images).mean()), samples=len(unseen))

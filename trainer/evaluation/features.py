"""Images to points in which distances mean something: principal components, or a classifier's hidden layer."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.distances import affordable, as_points

_FIT_ON = 10_000
_CHUNK = 1_000


class Features(Protocol):
    """A fixed map from images to features."""

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 ``[n, …]`` to float32 ``[n, d]``."""
        ...


class PcaFeatures:
    """Principal components of the pixels, fitted on real images; needs no labels, no training, any shape."""

    def __init__(self, images: NDArray[np.uint8], components: int = 64) -> None:
        """Fit on at most 10,000 of `images`, uint8 ``[n, …]``, evenly spaced."""
        from sklearn.decomposition import PCA

        most = min(affordable(images, _FIT_ON), len(images))
        chosen = images[np.linspace(0, len(images) - 1, most).astype(np.int64)]
        points = as_points(chosen)
        self._pca = PCA(min(components, *points.shape), random_state=0, svd_solver="auto").fit(points)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Features`."""
        parts = [self._pca.transform(as_points(images[i : i + _CHUNK])) for i in range(0, len(images), _CHUNK)]
        return np.concatenate(parts).astype(np.float32)

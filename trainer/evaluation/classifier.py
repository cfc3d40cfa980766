"""Classifiers of images, for judging samples; a small, fast one: principal components, then a support vector
machine."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.data import LabelledImages
from trainer.evaluation.distances import as_points

_COMPONENTS = 50
_CHUNK = 1_000


class Classifier(Protocol):
    """Trained on labelled images, and fixed since."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class of each image ``[n, …]``, int64 ``[n]``."""
        ...


class ImageClassifier:
    """Trained once on labelled images; deterministic."""

    def __init__(self, data: LabelledImages) -> None:
        """Fit on `data`, which holds at least two classes."""
        from sklearn.decomposition import PCA
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import SVC

        points = as_points(data.images)
        components = min(_COMPONENTS, *points.shape)
        self._model: Any = make_pipeline(PCA(components, random_state=0), SVC(C=10.0, gamma="scale"))
        self._model.fit(points, data.labels)

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """See `Classifier`."""
        parts = [self._model.predict(as_points(images[i : i + _CHUNK])) for i in range(0, len(images), _CHUNK)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

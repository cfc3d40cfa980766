"""A small, fast classifier of images, for judging samples: principal components, then a support vector machine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data import LabelledImages
from trainer.evaluation.distances import as_points

_COMPONENTS = 50


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

    def accuracy(self, data: LabelledImages) -> float:
        """Share of images recognised as their label, 0 … 1."""
        predicted: NDArray[np.int64] = self._model.predict(as_points(data.images))
        return float((predicted == data.labels).mean())

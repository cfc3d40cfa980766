"""Dropping samples that copy, or nearly copy, a training image.

The threshold is taken from real data: the distance to the nearest training image is measured for images that are
surely no copies, those held out of training. A sample nearer than the `quantile` of these distances is nearer than
real new images are, and is dropped. Where the set itself repeats images that quantile is 0, and exact copies alone are
dropped; these are dropped in any case.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.atomic import write_atomic
from runtime.images import encode_npy
from trainer.data.images import DataSplit

QUANTILE = 0.01
"""By default one real new image in a hundred would be dropped."""

_CALIBRATED_ON, _BATCH = 2_000, 250
_PIECE_VALUES = 2**22


@dataclass(frozen=True)
class DuplicateFilter:
    """A `runtime.synthesis.drawing.Filter`.

    Attributes:
        references: `.npy` file of the training images, which worker processes share by mapping it.
        threshold: samples nearer than this are dropped; root mean square difference in 8-bit levels, 0 … 255.
        details: where threshold and images come from, for the plan.
    """

    references: Path
    threshold: float
    details: dict[str, Any]

    @property
    def name(self) -> str:
        """As on the command line."""
        return "drop-duplicates-of"

    def describe(self) -> dict[str, Any]:
        """See `Filter`."""
        return {**self.details, "threshold_levels": self.threshold}

    def __call__(self, images: NDArray[np.uint8], _labels: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """See `Filter`."""
        copies = np.array([_digest(image) in self._digests for image in images], bool)
        return ~copies & (nearest_levels(images, self._references) >= self.threshold)

    @cached_property
    def _references(self) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = np.load(self.references, mmap_mode="r", allow_pickle=False)
        return found

    @cached_property
    def _digests(self) -> frozenset[bytes]:
        return frozenset(_digest(image) for image in self._references)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is read again in each process."""
        return {name: self.__dict__[name] for name in ("references", "threshold", "details")}


def calibrated_filter(data: DataSplit, source: str, quantile: float, folder: Path, trained_on: str) -> DuplicateFilter:
    """The filter of `data`'s training images, which are kept in `folder`; its held-out ones set the threshold.

    Args:
        source: what the data are called, for the plan.
        quantile: share of real new images that it would drop, 0 … 1.
        trained_on: fingerprint of the package's training images.
    """
    fingerprint = data.fingerprint()
    references = folder / f"training-{fingerprint[:16]}.npy"
    if not references.exists():
        write_atomic(references, encode_npy(np.ascontiguousarray(data.train.images)))
    new = data.held_out.at_most(_CALIBRATED_ON).images
    batches = [new[start : start + _BATCH] for start in range(0, len(new), _BATCH)]
    bar = tqdm(batches, desc="distances of held-out images", unit="batch", delay=1.0, leave=False)
    levels = np.concatenate([nearest_levels(batch, data.train.images) for batch in bar])
    details = {
        "data": source,
        "fingerprint": fingerprint,
        "is_training_set": fingerprint == trained_on,
        "images": len(data.train),
        "quantile": quantile,
        "held_out_images": len(new),
        "held_out_median_levels": round(float(np.median(levels)), 4),
    }
    threshold = round(float(np.quantile(levels, quantile)), 4) if quantile > 0 else 0.0
    return DuplicateFilter(references, threshold, details)


def nearest_levels(images: NDArray[np.uint8], references: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Root mean square difference of each of `images` ``[n, …]`` to the nearest of `references` ``[m, …]``, ``[n]``.

    The nearest is found in single precision, a piece of `references` at a time; its distance is exact.
    """
    if not len(images):
        return np.zeros(0)
    values = prod(images.shape[1:])
    points = images.reshape(len(images), values).astype(np.float32)
    least, nearest = np.full(len(images), np.inf, np.float32), np.zeros(len(images), np.int64)
    step = max(1, _PIECE_VALUES // values)
    for start in range(0, len(references), step):
        piece = references[start : start + step].reshape(-1, values).astype(np.float32)
        squared = np.square(piece).sum(1) - 2 * points @ piece.T  # but for the square of the point itself
        best = squared.argmin(1)
        found = squared[np.arange(len(points)), best]
        nearer = found < least
        least[nearer], nearest[nearer] = found[nearer], start + best[nearer]
    others = np.stack([references[index] for index in nearest]).reshape(len(images), values)
    difference = images.reshape(len(images), values).astype(np.int64) - others
    levels: NDArray[np.float64] = np.sqrt(np.square(difference).mean(1))
    return levels


def _digest(image: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()

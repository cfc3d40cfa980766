"""Labelled images, and their split into training and held-out images."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.errors import DataError


@dataclass(frozen=True)
class ImageSpec:
    """What networks are built for: size in pixels, channels (1 or 3), number of classes (1: unlabelled), and
    frames, above 1 for sequences."""

    height: int
    width: int
    channels: int
    classes: int
    frames: int = 1


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes.

    Attributes:
        images: uint8 ``[n, H, W, C]``, C 1 (grey) or 3 (RGB); sequences are ``[n, T, H, W, C]``. Where they do
            not fit in memory, a `numpy.memmap`.
        labels: int64 ``[n]``, indices into `class_names`; zeros where there are no classes.
        class_names: empty for unlabelled images.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def spec(self) -> ImageSpec:
        """The size of these images."""
        _, *frames, height, width, channels = self.images.shape
        return ImageSpec(height, width, channels, max(1, len(self.class_names)), *frames)

    def subset(self, indices: NDArray[np.int64]) -> "LabelledImages":
        """The images at `indices`, in that order and in memory."""
        return LabelledImages(self.images[indices], self.labels[indices], self.class_names)

    def unlabelled(self) -> "LabelledImages":
        """The same images without classes."""
        return LabelledImages(self.images, np.zeros_like(self.labels), ())

    def at_most(self, n: int) -> "LabelledImages":
        """All images, or `n` of them drawn evenly spaced, so that a sorted set keeps its class shares."""
        if len(self) <= n:
            return self
        return self.subset(np.linspace(0, len(self) - 1, n).astype(np.int64))


@dataclass(frozen=True)
class DataSplit:
    """Images to train on, and images no training step ever sees.

    Attributes:
        source: what a person calls this data: a name or a path.
        known_fingerprint: where it is kept with the images.
    """

    source: str
    train: LabelledImages
    held_out: LabelledImages
    known_fingerprint: str | None = None

    def fingerprint(self) -> str:
        """SHA-256 over shapes, pixels, labels and class names of the training images."""
        if self.known_fingerprint is not None:
            return self.known_fingerprint
        digest = hashlib.sha256(repr((self.train.images.shape, self.train.class_names)).encode())
        digest.update(np.ascontiguousarray(self.train.images).data)
        digest.update(np.ascontiguousarray(self.train.labels).data)
        return digest.hexdigest()


def stratified_split(source: str, everything: LabelledImages, held_out: float, seed: int) -> DataSplit:
    """Both parts that `stratified_rows` names, in memory.

    Raises:
        DataError: see `stratified_rows`.
    """
    kept, apart = stratified_rows(source, everything, held_out, seed)
    return DataSplit(source, everything.subset(kept), everything.subset(apart))


def stratified_rows(
    source: str, everything: LabelledImages, held_out: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to keep apart: the share `held_out` of every class, at least one image of each; the
    same `seed`, the same rows.

    Raises:
        DataError: a class has fewer than two images, so nothing would be left to train on or to compare with.
    """
    random = np.random.default_rng(seed)
    kept: list[NDArray[np.int64]] = []
    apart: list[NDArray[np.int64]] = []
    for label in range(everything.spec.classes):
        members = np.flatnonzero(everything.labels == label)
        if len(members) < 2:
            name = everything.class_names[label] if everything.class_names else source
            raise DataError(
                f"{source}: {name!r} has {len(members)} image{'s' * (len(members) != 1)}, "
                "at least 2 are needed (one is held out for evaluation)"
            )
        shuffled = random.permutation(members)
        cut = min(len(members) - 1, max(1, round(held_out * len(members))))
        apart.append(shuffled[:cut])
        kept.append(shuffled[cut:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(apart))

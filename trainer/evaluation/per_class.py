"""One row per class: whether its samples are read as it, and how varied they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.images import LabelledImages
from trainer.evaluation.distances import as_points, mean_pairwise_distance


@dataclass(frozen=True)
class ClassRow:
    """One class.

    Attributes:
        samples: images that were asked for.
        recognised: share of them that is read as this class.
        real_recognised: the same of held-out images; None where there are none.
        mistaken_for: the class as which most others are read; None where none is.
        variety: mean pairwise distance over that of real images; None where it has no meaning.
    """

    name: str
    samples: int
    recognised: float
    real_recognised: float | None
    mistaken_for: str | None
    variety: float | None


def class_rows(
    samples: LabelledImages,
    read_as: NDArray[np.int64],
    held_out: LabelledImages,
    held_out_read_as: NDArray[np.int64],
    real: LabelledImages,
) -> list[ClassRow]:
    """A row for each class of `samples` that has any; `read_as` are the classes that a reader saw."""
    rows = []
    for label, name in enumerate(samples.class_names):
        ours, theirs = samples.labels == label, held_out.labels == label
        if not ours.any():
            continue
        read = read_as[ours]
        wrong = np.bincount(read[read != label], minlength=1)
        rows.append(
            ClassRow(
                name=name,
                samples=int(ours.sum()),
                recognised=float((read == label).mean()),
                real_recognised=float((held_out_read_as[theirs] == label).mean()) if theirs.any() else None,
                mistaken_for=samples.class_names[int(wrong.argmax())] if wrong.any() else None,
                variety=variety(samples.images[ours], real.images[real.labels == label]),
            )
        )
    return rows


def variety(images: NDArray[np.uint8], real: NDArray[np.uint8]) -> float | None:
    """Mean pairwise distance of `images` over that of `real`; None for fewer than two, or real ones that are alike."""
    if min(len(images), len(real)) < 2:
        return None
    reference = mean_pairwise_distance(as_points(real))
    return mean_pairwise_distance(as_points(images)) / reference if reference > 0 else None

"""The pictures of a report, small, as files inside the page."""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.images import Pixels, encode_image, make_grid
from runtime.latents import latents_from_seeds
from runtime.sequences import encode_animation, make_moving_grid
from trainer.data.images import LabelledImages
from trainer.evaluation import Evaluation, Sampler
from trainer.grids import grid_seeds

_COLUMNS = 10
_STEPS = 9
_PATHS = 6
_PATH_SEED = 100
_NEAREST, _OTHERS = 6, 6


@dataclass(frozen=True)
class Picture:
    """An image file inside the page: its data URI, and its size in pixels before the page enlarges it."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Neighbour:
    """A sample beside the training image that is nearest to it.

    Attributes:
        number: of the sample, from 0; its row seed is that of the first one plus this.
        training_row: of the image among those that were looked at.
        distance: of the two, pixels in 0 … 1, Euclidean.
    """

    number: int
    training_row: int
    distance: float
    sample: Picture
    training: Picture


@dataclass(frozen=True)
class Pictures:
    """What a report shows.

    Attributes:
        samples: with fixed seeds, one class per row; sequences move.
        paths: from one latent to another, one path per row, its class fixed; the middle frame of sequences.
        neighbours: the nearest ones of all, then some others.
    """

    samples: Picture
    paths: Picture
    neighbours: list[Neighbour]


def draw_pictures(
    sampler: Sampler, dim: int, class_names: tuple[str, ...], evaluation: Evaluation, train: LabelledImages
) -> Pictures:
    """Of the generator behind `sampler`, and of the samples that were measured, beside `train`, which they were
    compared with."""
    seeds, labels = grid_seeds(max(1, len(class_names)), _COLUMNS)
    samples = sampler(latents_from_seeds(seeds, dim), labels)
    return Pictures(
        picture(samples, _COLUMNS),
        picture(_still(_paths(sampler, dim, len(class_names))), _STEPS),
        _neighbours(evaluation, train),
    )


def picture(images: Pixels, columns: int) -> Picture:
    """Images ``[n, H, W, C]`` side by side as PNG, or sequences ``[n, T, H, W, C]`` as GIF."""
    if images.ndim == 5:
        moments = make_moving_grid(images, columns, gap=1)
        _, height, width, _ = moments.shape
        return Picture(_uri(encode_animation(moments), "gif"), width, height)
    grid = make_grid(images, columns, gap=1)
    return Picture(_uri(encode_image(grid), "png"), grid.shape[1], grid.shape[0])


def _paths(sampler: Sampler, dim: int, classes: int) -> Pixels:
    """Along great circles, on which latents keep their length."""
    rows = min(_PATHS, classes) if classes > 1 else 4
    ends = latents_from_seeds(np.arange(_PATH_SEED, _PATH_SEED + 2 * rows, dtype=np.uint64), dim)
    latents = np.concatenate([_great_circle(ends[2 * row], ends[2 * row + 1]) for row in range(rows)])
    labels = np.linspace(0, max(0, classes - 1), rows).astype(np.int64).repeat(_STEPS)
    return sampler(latents, labels)


def _great_circle(start: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.float32]:
    """`_STEPS` latents from one to the other, ``[steps, dim]``."""
    cosine = float(start @ end / (np.linalg.norm(start) * np.linalg.norm(end) + 1e-12))
    angle = np.arccos(np.clip(cosine, -1, 1))
    share = np.linspace(0, 1, _STEPS)[:, None]
    if np.sin(angle) < 1e-6:  # a latent of one number
        return ((1 - share) * start + share * end).astype(np.float32)
    found: NDArray[np.float64] = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
    return found.astype(np.float32)


def _neighbours(evaluation: Evaluation, train: LabelledImages) -> list[Neighbour]:
    images, nearest = evaluation.samples.images, evaluation.closeness.nearest
    order = np.argsort(nearest.distances, kind="stable")
    others = np.random.default_rng(0).permutation(order[_NEAREST:])[:_OTHERS]
    return [
        Neighbour(
            number=int(number),
            training_row=int(nearest.rows[number]),
            distance=float(nearest.distances[number]),
            sample=picture(_still(images[number : number + 1]), 1),
            training=picture(_still(train.images[nearest.rows[number]][np.newaxis]), 1),
        )
        for number in [*order[:_NEAREST], *others]
    ]


def _still(images: Pixels) -> Pixels:
    """Images as they are, sequences by their middle frame."""
    return images[:, images.shape[1] // 2] if images.ndim == 5 else images


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

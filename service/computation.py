"""One batch on a worker thread: latents from seeds, then the generator. It touches nothing but its batch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import latents_from_seeds
from service.lanes import Segment


@dataclass(frozen=True, slots=True)
class Computed:
    """Images of a batch in the order of its segments, and the seconds that input and run took."""

    images: NDArray[np.uint8]
    input_s: float
    run_s: float


def compute(generator: Generator, segments: Sequence[Segment]) -> Computed:
    """Run the rows of `segments` as one batch.

    Raises:
        RuntimeError: the graph yields another number of images; whatever else onnxruntime raises.
    """
    start = time.perf_counter()
    latents = _latents(segments, generator.manifest.latent.dim)
    labels = _join([_part(segment, segment.ticket.rows.labels) for segment in segments])
    ready = time.perf_counter()
    images = generator.run(latents, labels if generator.conditional else None)
    if len(images) != len(latents):
        raise RuntimeError(f"{generator.manifest.reference} yields {len(images)} images for {len(latents)} rows")
    return Computed(images, ready - start, time.perf_counter() - ready)


def _latents(segments: Sequence[Segment], dim: int) -> NDArray[np.float32]:
    """Latents of the batch: those of seeds drawn in one go, given ones copied in, both truncated."""
    seeds = [_part(segment, segment.ticket.rows.seeds) for segment in segments]
    drawn = latents_from_seeds(list(chain.from_iterable(part for part in seeds if part is not None)), dim)
    if len(drawn) == sum(map(len, segments)) and all(each.ticket.rows.truncation is None for each in segments):
        return drawn
    parts, cursor = [], 0
    for segment, seeded in zip(segments, seeds, strict=True):
        rows = segment.ticket.rows
        if seeded is None:
            assert rows.latents is not None
            part = rows.latents[segment.start : segment.stop]
        else:
            part = drawn[cursor : cursor + len(seeded)]
            cursor += len(seeded)
        truncation = _part(segment, rows.truncation)
        parts.append(part if truncation is None else part * truncation[:, None])
    return np.ascontiguousarray(np.concatenate(parts) if len(parts) > 1 else parts[0])


_Element = TypeVar("_Element", bound=np.generic)


def _part(segment: Segment, column: NDArray[_Element] | None) -> NDArray[_Element] | None:
    return None if column is None else column[segment.start : segment.stop]


def _join(parts: list[NDArray[_Element] | None]) -> NDArray[_Element] | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None


def time_batch(generator: Generator, rows: int, *, repeats: int = 3, at_least_s: float = 0.02) -> float:
    """Seconds of a batch of `rows`: the best of `repeats`, and of as many more as `at_least_s` has room for, after one
    warm-up. Something else that runs for a few milliseconds must not decide how a model is served from then on."""
    seeds = np.arange(rows, dtype=np.uint64)
    generator.sample(seeds)
    seconds: list[float] = []
    while len(seconds) < repeats or sum(seconds) < at_least_s:
        start = time.perf_counter()
        generator.sample(seeds)
        seconds.append(time.perf_counter() - start)
    return min(seconds)

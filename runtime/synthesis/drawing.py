"""Rows to images: generate, filter, and replace what was dropped."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.synthesis.errors import SynthesisError
from runtime.synthesis.plan import Part, Plan, chunk_rows


class Filter(Protocol):
    """Decides which generated images are good enough. Must be picklable until it is first called: it is sent to
    worker processes. Its verdict may depend on nothing but its arguments."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON: what it compares with (by fingerprint) and its thresholds, for the plan and the data card."""
        ...

    def __call__(self, images: NDArray[np.uint8], labels: NDArray[np.int64] | None, /) -> NDArray[np.bool_]:
        """Which to keep, bool ``[n]``, of images uint8 ``[n, …]`` made for class indices ``[n]``."""
        ...


@dataclass(frozen=True)
class Chunk:
    """Consecutive finished rows.

    Attributes:
        seeds: row seeds, uint64 ``[n]``.
        labels: class indices, int64 ``[n]``; None without classes.
        images: uint8 ``[n, H, W, C]``, or ``[n, T, H, W, C]``.
    """

    seeds: NDArray[np.uint64]
    labels: NDArray[np.int64] | None
    images: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.seeds)


@dataclass
class Tally:
    """What filters did.

    Attributes:
        attempts: most candidates that a row took.
        dropped: candidates that each filter dropped.
    """

    attempts: int = 1
    dropped: Counter[str] = field(default_factory=Counter)


class Drawer:
    """Draws the rows of parts. Chunks begin at the part's start, whoever draws it: a network's result may depend on
    its batch in the last bit."""

    def __init__(self, generator: Generator, plan: Plan, filters: Sequence[Filter] = (), attempts: int = 1) -> None:
        """`attempts` is the number of candidates that a row may have."""
        self._generator, self._plan, self._filters, self._attempts = generator, plan, filters, attempts
        self._rows = chunk_rows(generator.manifest.output)

    def draw(self, part: Part, tally: Tally) -> Iterator[Chunk]:
        """The rows of `part` in order; `tally` is kept on the way.

        Raises:
            SynthesisError: every candidate of a row was dropped.
        """
        for start in range(part.start, part.stop, self._rows):
            rows = np.arange(start, min(start + self._rows, part.stop), dtype=np.int64)
            yield self._chunk(rows, tally)

    def _chunk(self, rows: NDArray[np.int64], tally: Tally) -> Chunk:
        plan, generator = self._plan, self._generator
        labels, seeds = plan.labels(rows), plan.seeds(rows)
        images = generator.sample(seeds, labels, plan.truncation)
        if not self._filters:
            return Chunk(seeds, labels, images)
        open_rows = np.arange(len(rows))[~self._keep(images, labels, tally)]
        for attempt in range(1, self._attempts):
            if not len(open_rows):
                break
            tally.attempts = max(tally.attempts, attempt + 1)
            again = plan.seeds(rows[open_rows], attempt)
            some = None if labels is None else labels[open_rows]
            candidates = generator.sample(again, some, plan.truncation)
            kept = self._keep(candidates, some, tally)
            images[open_rows[kept]], seeds[open_rows[kept]] = candidates[kept], again[kept]
            open_rows = open_rows[~kept]
        if len(open_rows):
            raise self._exhausted(rows[open_rows], tally)
        return Chunk(seeds, labels, images)

    def _keep(self, images: NDArray[np.uint8], labels: NDArray[np.int64] | None, tally: Tally) -> NDArray[np.bool_]:
        """Which images pass every filter; one that several would drop is counted for the first."""
        left = np.arange(len(images))
        for judge in self._filters:
            kept = judge(images[left], None if labels is None else labels[left])
            tally.dropped[judge.name] += len(left) - int(kept.sum())
            left = left[kept]
            if not len(left):
                break
        passed = np.zeros(len(images), bool)
        passed[left] = True
        return passed

    def _exhausted(self, rows: NDArray[np.int64], tally: Tally) -> SynthesisError:
        names, labels = self._generator.manifest.classes, self._plan.labels(rows[:1])
        of_class = "" if labels is None else f" of class {names[labels[0]]!r}"
        so_far = ", ".join(f"{name} {count}" for name, count in tally.dropped.items())
        return SynthesisError(
            f"row {rows[0]}{of_class}: all {self._attempts} candidates were dropped "
            f"(in this part so far: {so_far}); loosen the filter, leave the class out, or raise --max-attempts"
        )

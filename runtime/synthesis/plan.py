"""Which rows a data set has, and what decides their bytes.

Row *r* has class ``classes[r mod k]``. Its first candidate has row seed ``seed + r``; where a filter drops it, the
next one has ``seed + r + rows``, then ``seed + r + 2 · rows``, … So a row depends on nothing but its number, and no
two candidates share a seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from runtime.latents import MAX_SEED
from runtime.manifest import Output, Precision
from runtime.sequences import FileFormat
from runtime.synthesis.errors import SynthesisError

Format = Literal["folder", "webdataset", "parquet", "npz", "idx"]

_CHUNK_VALUES, _CHUNK_ROWS = 2**20, 256
_PART_VALUES, _PART_ROWS, _LEAST_PART_ROWS = 2**28, 10_000, 100


@dataclass(frozen=True)
class Part:
    """Rows that are written together: ``start`` … ``stop - 1``.

    Attributes:
        index: 0 … `count` - 1.
        count: parts of the whole set.
    """

    index: int
    count: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


class Plan(BaseModel):
    """Everything the bytes of a data set depend on; two runs with equal plans write equal files."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    latentd: str
    """Version of this program."""

    package: str
    """``name@version``."""

    package_sha256: str
    """Of the package's manifest, which holds those of its graphs."""

    precision: Precision

    provider: str
    """Of onnxruntime: a GPU's images are not a CPU's to the last bit."""

    format: Format

    image_format: FileFormat | None
    """Null where a format holds pixels."""

    rows: int = Field(ge=1)

    classes: tuple[int, ...]
    """Indices into the package's classes, in the order in which rows take them; empty: unconditional."""

    seed: int = Field(ge=0, le=MAX_SEED)

    truncation: float = Field(gt=0, le=1)

    part_rows: int = Field(ge=1)
    """Rows of a shard, or of what is written before the journal is."""

    filters: tuple[dict[str, Any], ...] = ()
    """What each filter is and compares with."""

    def check_seeds(self, attempts: int) -> None:
        """Refuse a plan that may need seeds beyond the largest.

        Args:
            attempts: candidates that each row may have. They do not decide the bytes of a set, only whether one that
                takes more of them is refused.

        Raises:
            SynthesisError: saying which seed is the last to begin with.
        """
        candidates = self.rows * attempts
        if self.seed + candidates - 1 > MAX_SEED:
            raise SynthesisError(
                f"--seed: got {self.seed}; allowed: at most {MAX_SEED + 1 - candidates} for {self.rows} rows of up to "
                f"{attempts} candidates each"
            )

    def parts(self) -> Iterator[Part]:
        """All of them in order; the last may be shorter."""
        count = -(-self.rows // self.part_rows)
        for index in range(count):
            start = index * self.part_rows
            yield Part(index, count, start, min(start + self.part_rows, self.rows))

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Class indices of `rows`, ``[n]``; None without classes."""
        return np.array(self.classes, np.int64)[rows % len(self.classes)] if self.classes else None

    def seeds(self, rows: NDArray[np.int64], attempt: int = 0) -> NDArray[np.uint64]:
        """Row seeds of the candidates of `rows`, ``[n]``; `attempt` counts from 0."""
        return (rows + (self.seed + attempt * self.rows)).astype(np.uint64)


def chunk_rows(output: Output) -> int:
    """Rows that are generated in one batch: about a million values, at most 256 images."""
    return min(_CHUNK_ROWS, max(1, _CHUNK_VALUES // prod(output.shape)))


def default_part_rows(output: Output) -> int:
    """10,000 rows, fewer (at least 100) of images so large that those would be more than 256 MiB of pixels."""
    return min(_PART_ROWS, max(_LEAST_PART_ROWS, _PART_VALUES // prod(output.shape)))


def difference(old: Plan, new: Plan) -> str:
    """The first fields in which two plans differ, as ``seed was 0 and is 1``; empty where they do not."""

    def entry(name: str) -> str:
        if name == "filters":
            return "filters, their data or thresholds have changed"
        return f"{name} was {before[name]} and is {after[name]}"

    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return ", ".join([entry(name) for name in before if before[name] != after[name]][:3])

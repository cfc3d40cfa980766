"""What a process that synthesizes a data set is told: `job.json` of its folder, and how it answers: `result.json`."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.atomic import write_atomic
from runtime.fine_tuning import ORDER_FILE, RESULT_FILE
from runtime.manifest import Precision
from runtime.sequences import FileFormat
from runtime.synthesis.plan import Format
from runtime.synthesis.run import SynthesisOptions


class DataSetOrder(BaseModel):
    """One synthesis."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    job: str

    attempt: int = Field(ge=1)

    package: str
    """Folder of the package."""

    folder: str
    """Where the data set goes."""

    format: Format

    per_class: int | None = Field(default=None, ge=1)
    """Images of each class, for packages that have classes."""

    count: int | None = Field(default=None, ge=1)
    """Images, for packages that have none."""

    classes: list[str] | None = None
    """Names or indices; null: all."""

    seed: int = Field(default=0, ge=0)

    precision: Precision = "fp32"

    truncation: float = Field(default=1.0, gt=0, le=1)

    image_format: FileFormat | None = None

    shard_rows: int | None = Field(default=None, ge=1)

    include_report: bool = False
    """Put the package's own report beside the data."""

    @property
    def options(self) -> SynthesisOptions:
        """As `runtime.synthesis` takes them."""
        return SynthesisOptions(
            format=self.format,
            per_class=self.per_class,
            count=self.count,
            classes=self.classes,
            seed=self.seed,
            precision=self.precision,
            truncation=self.truncation,
            image_format=self.image_format,
            shard_rows=self.shard_rows,
        )


class DataSetResult(BaseModel):
    """A synthesis that is complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    rows: int
    parts: list[str]


def write_order(folder: Path, order: DataSetOrder) -> None:
    """Put `order` into `folder`, in the place of an earlier one."""
    write_atomic(folder / ORDER_FILE, (order.model_dump_json(indent=2) + "\n").encode())


def read_order(folder: Path) -> DataSetOrder:
    """The order in `folder`.

    Raises:
        ValueError: there is none, or it is not valid.
    """
    try:
        return DataSetOrder.model_validate_json((folder / ORDER_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"{folder / ORDER_FILE}: not an order: {error}") from error


def write_result(folder: Path, result: DataSetResult) -> None:
    """Say that the set is complete."""
    write_atomic(folder / RESULT_FILE, (result.model_dump_json(indent=2) + "\n").encode())


def options_of(values: dict[str, Any]) -> SynthesisOptions:
    """The options of a stored request, for checking before there is a folder."""
    order = DataSetOrder.model_validate({"job": "-", "attempt": 1, "package": "-", "folder": "-", **values})
    return order.options

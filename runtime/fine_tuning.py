"""What a server and the trainer agree on about fine-tuning: the order, its settings, the result, the exit codes.

The server writes an order into a job's folder and starts a process; `trainer.finetune` documents the folder's other
files and the events. Nothing here loads torch.
"""

import json
import re
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from runtime.atomic import write_atomic
from runtime.manifest import ModelName, Requirement

ORDER_FILE = "job.json"
EVENTS_FILE = "events.jsonl"
RESULT_FILE = "result.json"

IMPROVEMENT = "kernel_distance_ratio"
"""Measure: kernel distance to held-out images, of the new generator over that of the one it began with. Not measured,
and so missed, where that is not above zero: the package drew such images already."""

COPYING = "copying_signs"
"""Measure: how many signs there are that training images are copied, see `trainer.evaluation.memorisation`."""

_REQUIREMENT = re.compile(r"\s*[\w.-]+?\s*(>=|<=|>|<)\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


class ExitCode(IntEnum):
    """How a fine-tuning process ended. Below zero (killed by a signal) and 128 + signal mean: start it again."""

    PUBLISHED = 0
    """The package is in the store, `result.json` names it. With `on_miss: mark` it may miss requirements."""

    UNUSABLE = 1
    """Images, package or settings cannot be used, or training collapsed; the last event says what to change. Starting
    again changes nothing."""

    USAGE = 2
    """No order in the folder, or one that is not valid; a wrong command line. Nothing was begun."""

    REFUSED = 3
    """Trained, measured, and a requirement is missed: nothing is published; `result.json` says which."""

    DEFECT = 4
    """An error nobody foresaw; its trace is on standard error. Another attempt may help."""

    NOT_OURS = 5
    """Another process works in the folder, or the order has been given to a later attempt. Nothing was changed."""

    MACHINE = 74
    """The machine gave out: disk full, a file that may not be written, no memory. Another attempt may help, there or
    elsewhere, and goes on from the last checkpoint."""


class FineTuneConfigError(ValueError):
    """Settings that are not allowed.

    Attributes:
        field: name of the first wrong one, with dots; empty where the whole is wrong.
        reason: what is wrong with it, the value received, what is allowed.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field, self.reason = field, reason


def _or_default(default: object) -> BeforeValidator:
    """The word of OpenAI's API for "choose yourself"."""
    return BeforeValidator(lambda value: default if value == "auto" else value)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


M = TypeVar("M", bound=_Model)


class FineTuneConfig(_Model):
    """How a package is fine-tuned. Every field has a default that suits some hundred images and two CPU cores; what is
    null is chosen for the images, see `trainer.finetune.recipe`."""

    classes: Literal["merge", "data"] = "merge"
    """Classes of the new package. `merge`: those of the package, then those that only the images have; classes without
    images are rehearsed. `data`: those of the images alone."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Class of all images, where they come without classes and the package has some."""

    rehearsal: float = Field(default=1.0, ge=0, le=10)
    """Images that the package itself draws of each class without images, over the mean number of images of the others,
    and that are trained on so that those classes are not forgotten. 0 draws none."""

    fit: bool = False
    """Whether images of another size or colour are fitted to the package: central square, resized, grey or RGB. If not,
    they are refused."""

    held_out: float = Field(default=0.2, gt=0, le=0.5)
    """Share of each class that is never trained on: by it the best state is chosen and the result is judged."""

    adapter: Literal["none", "norm", "low-rank"] = "none"
    """What of the generator is trained. `none`: everything. `norm`: scales and shifts of the normalization and the rows
    of the classes. `low-rank`: these, and a difference of low rank to each convolution and linear layer. Adapters are
    merged before export."""

    rank: int = Field(default=8, ge=1, le=256)
    """Rank of those differences."""

    freeze: float = Field(default=0.4, ge=0, le=0.9)
    """Share of the discriminator's layers, from the image on, that keep their weights."""

    augment: Literal["auto", "none"] = "auto"
    """Random changes of what the discriminator sees. `auto`: shifts and cutouts for sets of fewer than 5,000 images,
    beside those of the package's recipe; `none`: none at all."""

    learning_rate_multiplier: Annotated[float, _or_default(1.0)] = Field(default=1.0, gt=0, le=100)
    """Factor of both learning rates, which are chosen for small sets; `auto` is 1."""

    batch_size: Annotated[int | None, _or_default(None)] = Field(default=None, ge=2, le=4096)
    """Images per step; null or `auto`: that of the package's recipe, or less for a few images."""

    epochs: Annotated[int | None, _or_default(None)] = Field(default=None, ge=1, le=1_000_000)
    """How often each image is shown at most; null or `auto`: until 20,000 to 200,000 have been shown, by their
    number."""

    max_minutes: float = Field(default=2.0, gt=0, le=1440)
    """Minutes of training at most, over all attempts. Export and evaluation come on top."""

    patience: int = Field(default=6, ge=0, le=1000)
    """Measurements in a row, of 25 over the budget, without a better kernel distance to held-out images, after which
    training ends; 0: it does not end for that."""

    checkpoint_seconds: float = Field(default=10.0, ge=0, le=3600)
    """Least time between two checkpoints: how much training a killed process may lose."""

    features: Literal["pixels", "judge"] = "pixels"
    """In which features the result is compared with real images: principal components of the pixels, or a classifier
    trained on the images, which takes a minute."""

    require: tuple[str, ...] = (f"{IMPROVEMENT}<1", f"{COPYING}<=0")
    """Quality gates, as in ``kernel_distance_ratio<0.5``: any measure of an evaluation."""

    on_miss: Literal["refuse", "mark"] = "refuse"
    """What becomes of a package that misses one: it is not published, or it is and its manifest says so."""

    precisions: tuple[Literal["fp32", "int8"], ...] | None = None
    """Graphs of the package; null: those of the package it began with. int8 is left out where it lies too far from
    fp32."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Start of every random sequence."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""

    licence: str = Field(default="unspecified", max_length=500)
    """Licence of the new weights, best as an SPDX identifier."""

    intended_use: str = Field(default="unspecified", max_length=2000)
    """What the images are meant for."""

    @field_validator("require")
    @classmethod
    def _compare(cls, expressions: tuple[str, ...]) -> tuple[str, ...]:
        for text in expressions:
            if not _REQUIREMENT.fullmatch(text):
                raise ValueError(f"{text!r}: write MEASURE<NUMBER, with >=, <=, > or <, e.g. '{IMPROVEMENT}<0.5'")
        return expressions

    @field_validator("precisions")
    @classmethod
    def _with_fp32(
        cls, chosen: tuple[Literal["fp32", "int8"], ...] | None
    ) -> tuple[Literal["fp32", "int8"], ...] | None:
        return chosen and tuple(dict.fromkeys(("fp32", *chosen)))


class FineTuneOrder(_Model):
    """`job.json`: everything a process needs to know. Paths are absolute."""

    job: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    """Identity of the job. The package carries it, so that a job killed after publishing does not publish twice."""

    attempt: int = Field(default=1, ge=1)
    """Which attempt this is. A process whose attempt is no longer the one in the file publishes nothing."""

    package: Annotated[str, StringConstraints(min_length=1)]
    """Folder of the package to begin with, ``STORE/NAME/VERSION``."""

    data: Annotated[str, StringConstraints(min_length=1)]
    """Images, as for ``latentd train --data``."""

    store: Annotated[str, StringConstraints(min_length=1)]
    """Folder of the store to publish in."""

    name: ModelName
    """Name of the new package; of the parent's own name it becomes the next version."""

    config: FineTuneConfig = FineTuneConfig()
    """Settings."""


class FineTuneResult(_Model):
    """`result.json`: how a job ended, once it cannot end otherwise."""

    job: str
    package: str | None
    """``name@version``; null where it was refused."""

    store: str
    requirements: list[Requirement]
    """Quality gates, met or missed."""

    measures: dict[str, float]
    """Of the new generator by name; ``base.NAME`` of the one it began with, on the same images."""

    images: int
    """Images shown until the state that was taken; training may have gone on after it."""

    stopped_by: Literal["budget", "patience", "copying", "collapse"]
    """What ended training."""


def parse_config(values: Mapping[str, Any]) -> FineTuneConfig:
    """Settings from outside, checked.

    Raises:
        FineTuneConfigError: the first wrong field.
    """
    return _parse(FineTuneConfig, values)


def parse_order(values: Mapping[str, Any]) -> FineTuneOrder:
    """An order from outside, checked.

    Raises:
        FineTuneConfigError: the first wrong field; those of the settings begin with ``config.``.
    """
    return _parse(FineTuneOrder, values)


def read_order(folder: Path) -> FineTuneOrder:
    """The order in `folder`.

    Raises:
        FineTuneConfigError: there is none, or it is not valid; the field is named.
    """
    path = folder / ORDER_FILE
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise FineTuneConfigError("", f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise FineTuneConfigError("", f"{path}: is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise FineTuneConfigError("", f"{path}: holds a {type(values).__name__}, not an object")
    return parse_order(values)


def write_order(folder: Path, order: FineTuneOrder) -> None:
    """Put `order` into `folder`, in the place of an earlier one."""
    write_atomic(folder / ORDER_FILE, (order.model_dump_json(indent=2) + "\n").encode())


def read_result(folder: Path) -> FineTuneResult | None:
    """How the job in `folder` ended; None for one that has not.

    Raises:
        FineTuneConfigError: the file is damaged.
    """
    path = folder / RESULT_FILE
    if not path.exists():
        return None
    try:
        return FineTuneResult.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise FineTuneConfigError("", f"{path}: not a result: {error.errors()[0]['msg']}") from error


def _parse(kind: type[M], values: Mapping[str, Any]) -> M:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            allowed = FineTuneConfig if field.startswith("config.") else kind
            message = f"no such field; allowed are {', '.join(allowed.model_fields)}"
        got = "" if first["type"] in ("value_error", "missing", "extra_forbidden") else f", got {first['input']!r:.60}"
        raise FineTuneConfigError(field, f"{message}{got}") from error

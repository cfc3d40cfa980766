"""JSON objects that calls answer with, as types: FastAPI describes them in the OpenAPI document, and holds every answer
to them. Times are seconds since the epoch."""

from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from service.inference_models import ModelStatistics
from service.jobs.states import State

_Item = TypeVar("_Item")
_Type = TypeVar("_Type")


def _shown(**example: Any) -> Callable[[_Type], _Type]:
    """Give a type an example in the document."""
    decorate: Callable[[Any], Any] = with_config(ConfigDict(json_schema_extra={"example": example}))
    return decorate


class Listed(TypedDict, Generic[_Item]):
    """All there are."""

    object: Literal["list"]
    data: list[_Item]


class Paged(TypedDict, Generic[_Item]):
    """Some of them; `last_id` is the `after` of the next page."""

    object: Literal["list"]
    data: list[_Item]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(TypedDict):
    """What was deleted."""

    id: str
    object: Literal["file", "model"]
    deleted: Literal[True]


class Canary(TypedDict):
    """Another version that takes a share of an alias's requests."""

    target: Annotated[str, Field(description="name@version")]
    weight: Annotated[float, Field(description="share of the requests, 0 to 1")]


@_shown(object="alias", alias="stable", target="digits-cgan@1", canary={"target": "digits-cgan@2", "weight": 0.1})
class AliasObject(TypedDict):
    """A name that stands for a version."""

    object: Literal["alias"]
    alias: str
    target: Annotated[str, Field(description="name@version")]
    canary: Canary | None


class TensorMetadata(TypedDict):
    """A tensor; -1 in its shape where the size varies."""

    name: str
    datatype: Annotated[str, Field(description="as in the inference protocol: FP32, UINT64, INT64, UINT8")]
    shape: list[int]


@_shown(
    id="digits-cgan", object="model", created=1767225600, owned_by="latentd", version=1, family="cgan",
    shape=[28, 28, 1], latent_dim=64, classes=["0", "1"], precisions=["fp32", "int8"], encoder=False,
)  # fmt: skip
class ModelObject(TypedDict):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: Literal["latentd"]
    version: Annotated[int, Field(description="the newest, which the bare name means")]
    family: str
    shape: Annotated[list[int], Field(description="[frames,] height, width, channels of one image")]
    latent_dim: int
    classes: Annotated[list[str], Field(description="names by index; empty for models without classes")]
    precisions: list[Literal["fp32", "fp16", "int8"]]
    encoder: Annotated[bool, Field(description="whether it takes images, for reconstructions and variations")]


class ModelDetails(ModelObject):
    """A model, and all that its manifest says."""

    versions: list[int]
    aliases: list[str]
    inputs: list[TensorMetadata]
    refused: Annotated[dict[str, str], Field(description="name@version to the reason")]
    manifest: Annotated[dict[str, Any], Field(description="manifest.json of the package")]


@_shown(
    id="file-0123456789abcdef01234567", object="file", bytes=48211, created_at=1767225600, expires_at=1769817600,
    filename="mine.zip", purpose="fine-tune", status="processed", status_details=None, sha256="9f86d081…", job=None,
    report={"kind": "image_archive", "images": 200, "classes": {"3": 100, "8": 100}},
)  # fmt: skip
class FileObject(TypedDict):
    """A file, with our fields beside OpenAI's."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"]
    status_details: None
    sha256: str
    job: Annotated[str | None, Field(description="id of the job that made it")]
    report: Annotated[dict[str, Any], Field(description="what was found in it: images, classes, sizes, rejects")]


class JobError(TypedDict):
    """Why a job failed."""

    code: str
    message: str
    param: None


class Supervised(TypedDict):
    """Settings of the one method there is."""

    hyperparameters: dict[str, int | float | str]


class Method(TypedDict):
    """OpenAI's newer place of the hyperparameters."""

    type: Literal["supervised"]
    supervised: Supervised


_HYPERPARAMETERS = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}


@_shown(
    id="ftjob-0123456789abcdef01234567", object="fine_tuning.job", model="digits-cgan", created_at=1767225600,
    finished_at=None, fine_tuned_model=None, organization_id="", result_files=[], status="running",
    training_file="file-0123456789abcdef01234567", validation_file=None, hyperparameters=_HYPERPARAMETERS,
    method={"type": "supervised", "supervised": {"hyperparameters": _HYPERPARAMETERS}}, trained_tokens=None,
    estimated_finish=None, integrations=[], metadata=None, seed=0, error=None, state="running", attempt=1,
    name="digits-cgan-mine", config={}, result=None,
)  # fmt: skip
class FineTuningJob(TypedDict):
    """A fine-tuning job, with our fields beside OpenAI's."""

    id: str
    object: Literal["fine_tuning.job"]
    model: str
    created_at: int
    finished_at: int | None
    fine_tuned_model: Annotated[str | None, Field(description="name@version, once it succeeded")]
    organization_id: str
    result_files: list[str]
    status: str
    training_file: str
    validation_file: None
    hyperparameters: dict[str, int | float | str]
    method: Method
    trained_tokens: None
    estimated_finish: None
    integrations: list[Any]
    metadata: dict[str, str] | None
    seed: int
    error: JobError | None
    state: Annotated[State, Field(description="finer than `status`")]
    attempt: Annotated[int, Field(description="how often it was started")]
    name: Annotated[str, Field(description="of the new model")]
    config: Annotated[dict[str, Any], Field(description="every setting, as `latentd finetune --help` names them")]
    result: dict[str, Any] | None


class JobEvent(TypedDict):
    """Something that happened to a job; also what its stream sends, one `data` each."""

    id: str
    object: Literal["fine_tuning.job.event", "dataset.job.event"]
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: str
    data: dict[str, Any] | None
    sequence: Annotated[int, Field(description="1, 2, … without a gap; the id of the streamed event")]


class Checkpoint(TypedDict):
    """A saved state of a fine-tuning job."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"]
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: dict[str, int | float]


@_shown(
    id="dataset-0123456789abcdef01234567", object="dataset.job", model="digits-cgan", status="succeeded",
    created_at=1767225600, finished_at=1767225660, n=1000, n_per_class=None, format="webdataset", classes=None, seed=7,
    truncation=1.0, precision="fp32", image_format="png", shard_size=1000, include_report=False, rows=1000,
    files=["file-0123456789abcdef01234567"], error=None, state="succeeded", attempt=1,
)  # fmt: skip
class DataSetJob(TypedDict):
    """A data-set job."""

    id: str
    object: Literal["dataset.job"]
    model: str
    status: str
    created_at: int
    finished_at: int | None
    n: int | None
    n_per_class: int | None
    format: str
    classes: list[str] | None
    seed: int
    truncation: float
    precision: str
    image_format: str | None
    shard_size: int | None
    include_report: bool
    rows: int | None
    files: Annotated[list[str], Field(description="to be downloaded from /v1/files/{id}/content")]
    error: JobError | None
    state: Annotated[State, Field(description="finer than `status`")]
    attempt: Annotated[int, Field(description="how often it was started")]


class Alive(TypedDict):
    """Of the liveness probe."""

    status: Literal["live"]


class Ready(TypedDict):
    """Of the readiness probe."""

    status: Literal["ready"]
    models: Annotated[list[str], Field(description="name@version of each that is served")]


class NotReady(TypedDict):
    """Of the readiness probe, before models are warm and while the server stops."""

    status: Literal["not ready"]
    reason: str


class ServerMetadata(TypedDict):
    """Of the inference protocol."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(TypedDict):
    """Of the inference protocol."""

    live: bool


class ServerReady(TypedDict):
    """Of the inference protocol."""

    ready: bool


class ModelReady(TypedDict):
    """Of the inference protocol."""

    name: str
    ready: bool


class ModelMetadata(TypedDict):
    """Of the inference protocol."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Statistics(TypedDict):
    """Of the inference protocol."""

    model_stats: list[ModelStatistics]


class IndexEntry(TypedDict):
    """Of the inference protocol: a version in the store."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: Annotated[str, Field(description="why it is not loaded")]

"""Fine-tuning jobs, in the shape of OpenAI's API: `client.fine_tuning` of the unmodified `openai` package works.

Every route needs a key with the scope `train`, promotion one with `admin`.
"""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from service.errors import InvalidRequest
from service.http_api.aliases import alias_body
from service.http_api.answers import AliasObject, Checkpoint, FineTuningJob, JobEvent, Paged
from service.http_api.job_parts import desk_of
from service.http_api.job_routes import add_job_routes, error_body
from service.http_api.paging import page, page_schema, query_integer
from service.http_api.requests import body_schema, read_json
from service.jobs.intake import FineTuneRequest
from service.jobs.records import Event, Job

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["Fine-tuning"])

_CHOSEN = {"n_epochs": "epochs", "batch_size": "batch_size", "learning_rate_multiplier": "learning_rate_multiplier"}
Number = StrictInt | StrictFloat | Literal["auto"]


class Hyperparameters(BaseModel):
    """Those of OpenAI's that mean something here."""

    model_config = ConfigDict(extra="forbid")

    n_epochs: StrictInt | Literal["auto"] | None = Field(None, description="how often each image is shown at most")
    batch_size: StrictInt | Literal["auto"] | None = Field(None, description="images per step")
    learning_rate_multiplier: Number | None = Field(None, description="factor of the learning rates")


class Supervised(BaseModel):
    """Settings of the one method there is."""

    model_config = ConfigDict(extra="forbid")

    hyperparameters: Hyperparameters | None = None


class Method(BaseModel):
    """OpenAI's newer place of the hyperparameters."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["supervised"] = "supervised"
    supervised: Supervised | None = None


class FineTuningBody(BaseModel):
    """Body of `POST /v1/fine_tuning/jobs`."""

    model_config = ConfigDict(extra="forbid")

    model: StrictStr = Field(description="name, name@version or alias of the model to begin with")
    training_file: StrictStr = Field(description="id of an uploaded file")
    suffix: StrictStr | None = Field(None, description="the new model is called MODEL-SUFFIX; default: ft")
    name: StrictStr | None = Field(None, description="what the new model is called, instead of MODEL-SUFFIX")
    seed: StrictInt | None = Field(None, description="start of every random sequence; default 0")
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    config: dict[str, Any] = Field({}, description="further settings, see `latentd finetune --help`")
    metadata: dict[StrictStr, StrictStr] | None = Field(None, description="up to 16 entries of your own")
    validation_file: StrictStr | None = Field(None, description="not taken: a part of the images is held out")
    integrations: list[Any] | None = Field(None, description="not taken")

    def to_request(self) -> FineTuneRequest:
        """The intake's request.

        Raises:
            InvalidRequest: a field that is not taken, or one setting in two places.
        """
        for name in ("validation_file", "integrations"):
            if getattr(self, name):
                raise InvalidRequest.field(name, getattr(self, name), "null")
        if self.metadata is not None and len(self.metadata) > 16:
            raise InvalidRequest.field("metadata", len(self.metadata), "up to 16 entries")
        config = dict(self.config)
        nested = self.method.supervised.hyperparameters if self.method and self.method.supervised else None
        for where, chosen in (("hyperparameters", self.hyperparameters), ("method", nested)):
            for name, value in (chosen.model_dump(exclude_none=True) if chosen else {}).items():
                _put(config, _CHOSEN[name], value, f"{where}.{name}")
        if self.seed is not None:
            _put(config, "seed", self.seed, "seed")
        return FineTuneRequest(
            model=self.model,
            training_file=self.training_file,
            suffix=self.suffix,
            name=self.name,
            config=config,
            metadata=self.metadata,
        )


class PromotionBody(BaseModel):
    """Body of a promotion."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    alias: StrictStr = Field(description="set, or changed, to stand for the new model")
    weight: float | None = Field(
        None, gt=0, le=1, description="canary: share of the alias's requests; the others stay where they go now"
    )


_EXAMPLE = {"model": "digits-cgan", "training_file": "file-0123456789abcdef01234567", "suffix": "mine"}


@router.post("", summary="Fine-tune a model", openapi_extra=body_schema(FineTuningBody, _EXAMPLE))
async def create(request: Request) -> FineTuningJob:
    """A new job. With an `Idempotency-Key`, sending the request again returns the first job."""
    body = await read_json(request, FineTuningBody)
    key = request.headers.get("idempotency-key")
    return job_body(await desk_of(request).intake.fine_tune(body.to_request(), key))


@router.get("", summary="List fine-tuning jobs", openapi_extra=page_schema(100, 20))
async def list_jobs(request: Request) -> Paged[FineTuningJob]:
    """Jobs, newest first; ``metadata[key]=value`` keeps those that carry it."""
    limit = query_integer(request, "limit", 20, 1, 100)
    wanted = {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }

    def carries(job: Job) -> bool:
        metadata = job.request.get("metadata") or {}
        return all(metadata.get(name) == value for name, value in wanted.items())

    found = await desk_of(request).page(
        "fine_tuning", after=request.query_params.get("after"), limit=limit, where=carries if wanted else None
    )
    return page([job_body(job) for job in found.items], has_more=found.has_more)


@router.post(
    "/{job_id}/promote",
    summary="Serve a fine-tuned model under an alias",
    openapi_extra=body_schema(PromotionBody, {"alias": "stable", "weight": 0.1}),
)
async def promote(request: Request, job_id: str) -> AliasObject:
    """Set an alias to the model that a job made, or let it have a share of the alias's requests. Scope: admin."""
    body = await read_json(request, PromotionBody)
    return alias_body(body.alias, await desk_of(request).promote(job_id, body.alias, body.weight))


@router.get("/{job_id}/checkpoints", summary="Checkpoints of a fine-tuning job", openapi_extra=page_schema(100, 10))
async def checkpoints(request: Request, job_id: str) -> Paged[Checkpoint]:
    """Saved states of a job, newest first."""
    desk = desk_of(request)
    await desk.get(job_id, "fine_tuning")
    found = await desk.events(
        job_id,
        after=request.query_params.get("after"),
        limit=query_integer(request, "limit", 10, 1, 100),
        types=("checkpoint",),
    )
    return page([_checkpoint(found.job, event) for event in found.page.items], has_more=found.page.has_more)


def job_body(job: Job) -> FineTuningJob:
    """The job object, with our own fields beside OpenAI's."""
    request, config = job.request, job.request["config"]
    hyperparameters = {wire: config[own] if config[own] is not None else "auto" for wire, own in _CHOSEN.items()}
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "model": request["model"],
        "created_at": int(job.created_at),
        "finished_at": None if job.finished_at is None else int(job.finished_at),
        "fine_tuned_model": (job.result or {}).get("fine_tuned_model"),
        "organization_id": "",
        "result_files": [],
        "status": job.status,
        "training_file": request["training_file"],
        "validation_file": None,
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "trained_tokens": None,
        "estimated_finish": None,
        "integrations": [],
        "metadata": request.get("metadata"),
        "seed": config["seed"],
        "error": error_body(job),
        "state": job.state,
        "attempt": job.attempt,
        "name": request["name"],
        "config": dict(config),
        "result": None if job.result is None else dict(job.result),
    }


def event_body(job: Job, event: Event) -> JobEvent:
    """The event object."""
    return {
        "id": f"ftevent-{job.id.partition('-')[2]}-{event.sequence}",
        "object": "fine_tuning.job.event",
        "created_at": int(event.created_at),
        "level": event.level,
        "message": event.message,
        "type": "metrics" if event.type == "metrics" else "message",
        "data": None if event.data is None else dict(event.data),
        "sequence": event.sequence,
    }


def _checkpoint(job: Job, event: Event) -> Checkpoint:
    data = dict(event.data or {})
    step = data.get("images", data.get("steps", 0))
    return {
        "id": f"ftevent-{job.id.partition('-')[2]}-{event.sequence}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": int(event.created_at),
        "fine_tuning_job_id": job.id,
        "fine_tuned_model_checkpoint": f"{job.id}:{step}",
        "step_number": step,
        "metrics": {"step": step, **{name: value for name, value in data.items() if isinstance(value, int | float)}},
    }


def _put(config: dict[str, Any], name: str, value: object, where: str) -> None:
    if config.setdefault(name, value) != value:
        raise InvalidRequest.field(where, value, f"{config[name]!r}, as config.{name} says, or one of the two alone")


add_job_routes(
    router, kind="fine_tuning", noun="fine-tuning job", model=FineTuningJob, to_body=job_body, to_event=event_body
)

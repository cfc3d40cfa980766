"""Data-set jobs: what `latentd synthesize` does, as a job. Every route needs a key with the scope `train`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from runtime.latents import MAX_SEED
from service.http_api.answers import DataSetJob, JobEvent, Paged
from service.http_api.job_parts import desk_of
from service.http_api.job_routes import add_job_routes, error_body
from service.http_api.paging import page, page_schema, query_integer
from service.http_api.requests import body_schema, read_json
from service.jobs.intake import DataSetRequest
from service.jobs.records import Event, Job

router = APIRouter(prefix="/v1/datasets", tags=["Data sets"])


class DataSetBody(BaseModel):
    """Body of `POST /v1/datasets`."""

    model_config = ConfigDict(extra="forbid")

    model: StrictStr | None = Field(None, description="name, name@version or alias; default: the server's")
    n: StrictInt | None = Field(None, description="images in all")
    n_per_class: StrictInt | None = Field(None, description="images of each class, instead of n")
    format: Literal["folder", "webdataset", "parquet", "npz", "idx"] = "webdataset"
    classes: Annotated[list[StrictStr | StrictInt], Field(fail_fast=True, max_length=100_000)] | None = Field(
        None, description="names or indices; default: all"
    )
    seed: StrictInt = Field(0, ge=0, le=MAX_SEED, description="row seed of the first image")
    truncation: StrictFloat | StrictInt = Field(1.0, gt=0, le=1, description="scales latents towards the origin")
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    image_format: Literal["png", "jpeg", "webp", "gif"] | None = Field(None, description="of folders and shards")
    shard_size: StrictInt | None = Field(
        None, ge=1, le=MAX_SEED, description="images per file of webdataset and parquet"
    )
    include_report: StrictBool = Field(False, description="put the model's own evaluation report beside the data")

    def to_request(self) -> DataSetRequest:
        """The intake's request."""
        values = self.model_dump(exclude={"classes"})
        classes = None if self.classes is None else [str(value) for value in self.classes]
        return DataSetRequest(classes=classes, **values)


_EXAMPLE = {"model": "digits-cgan", "n_per_class": 100, "format": "webdataset", "seed": 7}


@router.post("", summary="Make a data set", openapi_extra=body_schema(DataSetBody, _EXAMPLE))
async def create(request: Request) -> DataSetJob:
    """A new job. With an `Idempotency-Key`, sending the request again returns the first job."""
    body = await read_json(request, DataSetBody)
    return job_body(await desk_of(request).intake.data_set(body.to_request(), request.headers.get("idempotency-key")))


@router.get("", summary="List data-set jobs", openapi_extra=page_schema(100, 20))
async def list_jobs(request: Request) -> Paged[DataSetJob]:
    """Jobs, newest first."""
    limit = query_integer(request, "limit", 20, 1, 100)
    found = await desk_of(request).page("dataset", after=request.query_params.get("after"), limit=limit)
    return page([job_body(job) for job in found.items], has_more=found.has_more)


def job_body(job: Job) -> DataSetJob:
    """The job object."""
    options, result = job.request["options"], job.result or {}
    return {
        "id": job.id,
        "object": "dataset.job",
        "model": job.request["model"],
        "status": job.status,
        "created_at": int(job.created_at),
        "finished_at": None if job.finished_at is None else int(job.finished_at),
        "n": options["count"],
        "n_per_class": options["per_class"],
        "format": options["format"],
        "classes": options["classes"],
        "seed": options["seed"],
        "truncation": options["truncation"],
        "precision": options["precision"],
        "image_format": options["image_format"],
        "shard_size": options["shard_rows"],
        "include_report": options["include_report"],
        "rows": result.get("rows"),
        "files": result.get("files", []),
        "error": error_body(job),
        "state": job.state,
        "attempt": job.attempt,
    }


def event_body(job: Job, event: Event) -> JobEvent:
    """The event object."""
    return {
        "id": f"dsevent-{job.id.partition('-')[2]}-{event.sequence}",
        "object": "dataset.job.event",
        "created_at": int(event.created_at),
        "level": event.level,
        "message": event.message,
        "type": event.type,
        "data": None if event.data is None else dict(event.data),
        "sequence": event.sequence,
    }


add_job_routes(router, kind="dataset", noun="data-set job", model=DataSetJob, to_body=job_body, to_event=event_body)

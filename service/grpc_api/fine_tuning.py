"""The native gRPC service `latentd.v1.FineTuning`: convert, ask the desk, convert."""

import json
from collections.abc import AsyncIterator
from typing import Any

from service.errors import InvalidRequest
from service.files.file_store import FileStore, StoredFile
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2 import (
    CancelJobRequest,
    CreateJobRequest,
    File,
    FileHeader,
    GetJobRequest,
    Job,
    JobEvent,
    ListJobsRequest,
    ListJobsResponse,
    PauseJobRequest,
    ResumeJobRequest,
    UploadFileRequest,
    WatchJobRequest,
)
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningServicer
from service.jobs.desk import JobDesk
from service.jobs.following import follow
from service.jobs.intake import FineTuneRequest
from service.jobs.records import Job as JobRecord
from service.lifecycle import Lifecycle

_DEFAULT_LIMIT, _MOST_JOBS = 20, 100
_LEAST_LIFETIME_S, _MOST_LIFETIME_S = 3600, 2_592_000


class FineTuning(FineTuningServicer):
    """See `proto/latentd/v1/fine_tuning.proto`."""

    def __init__(self, desk: JobDesk, files: FileStore, lifecycle: Lifecycle) -> None:
        self._desk = desk
        self._files = files
        self._lifecycle = lifecycle

    async def UploadFile(self, request_iterator: AsyncIterator[UploadFileRequest], context: Any) -> File:
        """Keep a file."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidRequest.field("header", None, "a first message with the header of the file")
        lifetime = _lifetime(first.header)
        kept = await self._files.upload(_contents(request_iterator), first.header.filename, lifetime_s=lambda: lifetime)
        return _file(kept)

    async def CreateJob(self, request: CreateJobRequest, context: Any) -> Job:
        """A new job."""
        asked = FineTuneRequest(
            model=request.model,
            training_file=request.training_file,
            suffix=request.suffix or None,
            name=request.name or None,
            config=_config(request.config_json),
            metadata=dict(request.metadata) or None,
        )
        return _job(await self._desk.intake.fine_tune(asked, request.idempotency_key or None))

    async def GetJob(self, request: GetJobRequest, context: Any) -> Job:
        """One job."""
        return _job(await self._desk.get(request.id, "fine_tuning"))

    async def ListJobs(self, request: ListJobsRequest, context: Any) -> ListJobsResponse:
        """Jobs, newest first."""
        limit = request.limit or _DEFAULT_LIMIT
        if not 1 <= limit <= _MOST_JOBS:
            raise InvalidRequest.field("limit", limit, f"an integer from 1 to {_MOST_JOBS}")
        found = await self._desk.page("fine_tuning", after=request.after or None, limit=limit)
        return ListJobsResponse(jobs=[_job(job) for job in found.items], has_more=found.has_more)

    async def CancelJob(self, request: CancelJobRequest, context: Any) -> Job:
        """Cancel a job."""
        return _job(await self._desk.cancel(request.id, "fine_tuning"))

    async def PauseJob(self, request: PauseJobRequest, context: Any) -> Job:
        """Let a job save and stop."""
        return _job(await self._desk.pause(request.id, "fine_tuning"))

    async def ResumeJob(self, request: ResumeJobRequest, context: Any) -> Job:
        """Let a paused job go on."""
        return _job(await self._desk.resume(request.id, "fine_tuning"))

    async def WatchJob(self, request: WatchJobRequest, context: Any) -> AsyncIterator[JobEvent]:
        """Events as they come."""
        if request.after_sequence < 0:
            raise InvalidRequest.field("after_sequence", request.after_sequence, "0 or more")
        await self._desk.get(request.id, "fine_tuning")
        async for job, events in follow(
            self._desk.jobs, request.id, request.after_sequence, stopping=lambda: self._lifecycle.draining
        ):
            if job.over:
                await self._desk.serve_result(job)
            for event in events:
                yield JobEvent(
                    sequence=event.sequence,
                    time=event.created_at,
                    level=event.level,
                    type=event.type,
                    message=event.message,
                    data_json="" if event.data is None else json.dumps(event.data),
                    job_status=job.status,
                )


async def _contents(messages: AsyncIterator[UploadFileRequest]) -> AsyncIterator[bytes]:
    async for message in messages:
        if message.WhichOneof("part") != "content":
            raise InvalidRequest.field("part", message.WhichOneof("part"), "content, behind the first message")
        yield message.content


def _lifetime(header: FileHeader) -> float | None:
    if not header.HasField("expires_after_seconds"):
        return None
    seconds = header.expires_after_seconds
    if not _LEAST_LIFETIME_S <= seconds <= _MOST_LIFETIME_S:
        raise InvalidRequest.field(
            "header.expires_after_seconds", seconds, f"an integer from {_LEAST_LIFETIME_S} to {_MOST_LIFETIME_S}"
        )
    return float(seconds)


def _config(text: str) -> dict[str, Any]:
    try:
        config = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"config_json: not JSON ({error}); allowed: a JSON object", param="config_json") from error
    if not isinstance(config, dict):
        raise InvalidRequest.field("config_json", config, "a JSON object")
    return config


def _job(job: JobRecord) -> Job:
    error, result = job.error or {}, job.result or {}
    return Job(
        id=job.id,
        model=job.request["model"],
        training_file=job.request["training_file"],
        status=job.status,
        created_at=int(job.created_at),
        finished_at=None if job.finished_at is None else int(job.finished_at),
        fine_tuned_model=result.get("fine_tuned_model", ""),
        error_code=error.get("code", ""),
        error_message=error.get("message", ""),
        attempt=job.attempt,
        config_json=json.dumps(job.request["config"]),
        result_json=json.dumps(result) if result else "",
        metadata=job.request.get("metadata") or {},
        last_event=job.last_event,
    )


def _file(file: StoredFile) -> File:
    return File(
        id=file.id,
        filename=file.filename,
        bytes=file.size,
        sha256=file.sha256,
        created_at=int(file.created_at),
        expires_at=None if file.expires_at is None else int(file.expires_at),
        report_json=json.dumps(file.report),
    )

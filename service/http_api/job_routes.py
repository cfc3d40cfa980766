"""What every kind of job is told over HTTP: to be shown, cancelled, paused, resumed, and to tell its events."""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse

from service.http_api.answers import JobError, JobEvent, Paged
from service.http_api.event_stream import event_stream, wants_stream
from service.http_api.job_parts import desk_of
from service.http_api.paging import page, page_schema, query_integer
from service.jobs.records import Event, Job, Kind


def add_job_routes(
    router: APIRouter,
    *,
    kind: Kind,
    noun: str,
    model: type[Mapping[str, Any]],
    to_body: Callable[[Job], Mapping[str, Any]],
    to_event: Callable[[Job, Event], JobEvent],
) -> None:
    """Add the routes below ``/{job_id}`` to `router`.

    Args:
        noun: what the documentation calls such a job.
        model: of `to_body`, the job object.
    """

    @router.get("/{job_id}", summary=f"One {noun}", response_model=model)
    async def get(request: Request, job_id: str) -> Mapping[str, Any]:
        """A job, and what it made once it succeeded."""
        return to_body(await desk_of(request).get(job_id, kind))

    @router.post("/{job_id}/cancel", summary=f"Cancel a {noun}", response_model=model)
    async def cancel(request: Request, job_id: str) -> Mapping[str, Any]:
        """Cancel a job; 409 once its result is being published."""
        return to_body(await desk_of(request).cancel(job_id, kind))

    @router.post("/{job_id}/pause", summary=f"Pause a {noun}", response_model=model)
    async def pause(request: Request, job_id: str) -> Mapping[str, Any]:
        """Let a job save and stop; it is `paused` when it has."""
        return to_body(await desk_of(request).pause(job_id, kind))

    @router.post("/{job_id}/resume", summary=f"Resume a {noun}", response_model=model)
    async def resume(request: Request, job_id: str) -> Mapping[str, Any]:
        """Let a paused job go on."""
        return to_body(await desk_of(request).resume(job_id, kind))

    @router.get(
        "/{job_id}/events",
        summary=f"Events of a {noun}",
        response_class=Response,
        responses={200: {"model": Paged[JobEvent], "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
        openapi_extra=page_schema(1000, 20, stream="true: as with Accept: text/event-stream"),
    )
    async def events(request: Request, job_id: str) -> Response:
        """Events, newest first; with `Accept: text/event-stream` from the first (or the one behind `Last-Event-ID`) on,
        as they come."""
        desk = desk_of(request)
        await desk.get(job_id, kind)
        if wants_stream(request):
            return await event_stream(request, desk, job_id, to_event)
        found = await desk.events(
            job_id, after=request.query_params.get("after"), limit=query_integer(request, "limit", 20, 1, 1000)
        )
        items = [to_event(found.job, event) for event in found.page.items]
        return JSONResponse(page(items, has_more=found.page.has_more))


def error_body(job: Job) -> JobError | None:
    """Why the job failed."""
    return None if job.error is None else {"code": job.error["code"], "message": job.error["message"], "param": None}

"""Server-sent events (WHATWG HTML, section 9.2) of a job, from wherever a client left off."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from service.errors import InvalidRequest
from service.jobs.desk import JobDesk
from service.jobs.following import follow
from service.jobs.records import Event, Job

_LONGEST_NUMBER = 9


def wants_stream(request: Request) -> bool:
    """Whether the client asks for events as they come."""
    return "text/event-stream" in request.headers.get("accept", "") or request.query_params.get("stream") == "true"


def last_event_id(request: Request) -> int:
    """The number of the last event that the client has seen; 0: none.

    Raises:
        InvalidRequest: `Last-Event-ID` is not the id of an event of this server.
    """
    given = request.headers.get("last-event-id") or "0"
    if not given.isascii() or not given.isdecimal() or len(given) > _LONGEST_NUMBER:
        raise InvalidRequest.field("Last-Event-ID", given, "the id of an event of this stream, an integer")
    return int(given)


async def event_stream(
    request: Request, desk: JobDesk, job_id: str, body: Callable[[Job, Event], Mapping[str, Any]]
) -> StreamingResponse:
    """Events of a job as they come, each with its number as its id; ends with ``[DONE]`` when the job is over."""
    after = last_event_id(request)
    lifecycle = request.app.state.lifecycle

    async def lines() -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        async for job, events in follow(desk.jobs, job_id, after, stopping=lambda: lifecycle.draining):
            if job.over:
                await desk.serve_result(job)
            for event in events:
                yield f"id: {event.sequence}\ndata: {json.dumps(body(job, event))}\n\n"
            if not events:
                yield "data: [DONE]\n\n" if job.over else ": nothing new\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(lines(), media_type="text/event-stream", headers=headers)

"""Answers that come image by image: server-sent events (HTML standard, section 9.2) or lines of JSON.

The first part is awaited before the answer begins, so that whatever refuses a request has its own status. What fails
later is the stream's last event, with the body that the error would have had.
"""

import json
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import Request
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from service.engine import Engine, SampleResult
from service.errors import Internal, ServiceError
from service.http_api.errors import STATUS, error_body
from service.http_api.rendering import identity_headers
from service.http_api.requests import note_model, while_connected

_LOG = logging.getLogger(__name__)

Event = tuple[str, dict[str, Any]]
"""Its name and its content."""


class _Stream(StreamingResponse):
    """Ends its source with the answer, however that ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        source = self.body_iterator
        assert isinstance(source, AsyncGenerator)
        finished = False

        async def send_and_watch(message: Message) -> None:
            nonlocal finished
            await send(message)
            finished = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await super().__call__(scope, receive, send_and_watch)
        finally:
            await source.aclose()
            if not finished:
                scope["state"].setdefault("status", STATUS["cancelled"])


async def stream_answer(
    request: Request,
    engine: Engine,
    results: AsyncGenerator[SampleResult],
    *,
    media_type: str,
    to_events: Callable[[SampleResult, int], Iterable[Event]],
    last: Callable[[SampleResult, int], Iterable[Event]],
) -> StreamingResponse:
    """An answer with the events of each result as soon as it is ready.

    Args:
        results: as `Engine.stream` yields them.
        media_type: ``text/event-stream`` or ``application/x-ndjson``.
        to_events: from a part and the row that it begins with; called in the encoder pool.
        last: from the first part, which names them all, and the number of rows.

    Raises:
        ServiceError: the first part was refused.
    """
    write = _server_sent if media_type == "text/event-stream" else _line

    def encode(part: SampleResult, row: int) -> bytes:
        return b"".join(write(name, content) for name, content in to_events(part, row))

    async def body(first: SampleResult) -> AsyncGenerator[bytes]:
        part: SampleResult | None = first
        row = 0
        async with aclosing(results):
            try:
                while part is not None:
                    yield await engine.encode(partial(encode, part, row))
                    row += len(part.images)
                    part = await anext(results, None)
            except Exception as error:  # noqa: BLE001 - the status has been sent; the event is all that is left
                yield write("error", _failure(request, error))
                return
        for name, content in last(first, row):
            yield write(name, content)

    async def begin() -> SampleResult:
        return await anext(results)

    try:
        first = await while_connected(request, begin())
    except BaseException:
        await results.aclose()
        raise
    note_model(request, first)
    return _Stream(body(first), media_type=media_type, headers=identity_headers(first))


def _failure(request: Request, error: Exception) -> dict[str, Any]:
    request_id = request.state.request_id
    if not isinstance(error, ServiceError):
        _LOG.error("stream of request %s failed", request_id, exc_info=error)
        error = Internal(request_id)
    request.state.status = STATUS[error.kind]  # for the log and the metrics
    return {"type": "error", **error_body(request.url.path, error)}


def _server_sent(name: str, content: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(content)}\n\n".encode()


def _line(name: str, content: dict[str, Any]) -> bytes:
    return f"{json.dumps(content)}\n".encode()

"""Slow clients: a body that drips in, an answer that nobody takes. Both hold memory, so both have an end.

Large answers go out piece by piece, each when the one before has left, so that a client that stops reading costs one
piece of buffer, and its answer is dropped when its time is over.
"""

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import Cancelled, DeadlineExceeded
from service.http_api.errors import STATUS
from service.http_api.whole_bodies import whole_body

_LOG = logging.getLogger(__name__)
SLOWEST = 20_000
"""Bytes per second that a client must manage once its grace is over."""
_PIECE = 64 << 10


class Patience:
    """Gives a body and an answer `grace_s` seconds, and one more for every `slowest` bytes."""

    def __init__(self, app: ASGIApp, grace_s: float, *, slowest: int = SLOWEST) -> None:
        self._app = app
        self._grace_s = grace_s
        self._slowest = slowest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        deadline, arrived = loop.time() + self._grace_s, whole_body(scope) is not None

        async def receive_in_time() -> Message:
            nonlocal arrived, deadline
            if arrived:  # what comes now is the end of the connection, which has no deadline
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                scope["state"]["close"] = True
                raise DeadlineExceeded(
                    f"body: not whole after {self._grace_s:g} s and 1 s more per {self._slowest} bytes", param="body"
                ) from None
            deadline += len(message.get("body", b"")) / self._slowest
            arrived = not message.get("more_body", False)
            return message

        async def send_in_time(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= _PIECE and not message.get("more_body", False):
                await send(message)
                return
            for start in range(0, max(1, len(body)), _PIECE):
                piece = body[start : start + _PIECE]
                more = message.get("more_body", False) or start + _PIECE < len(body)
                try:
                    async with asyncio.timeout(self._grace_s + len(piece) / self._slowest):
                        await send({"type": "http.response.body", "body": piece, "more_body": more})
                except TimeoutError:
                    scope["state"]["status"] = STATUS["cancelled"]
                    raise Cancelled("the client does not read its answer") from None

        await self._app(scope, receive_in_time, send_in_time)

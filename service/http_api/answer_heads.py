"""Heads of answers: most lines are those of the answer before, and the whole goes out together with the body.

uvicorn checks and writes every header of every answer anew, and sends head and body apart: under a profiler a fifth of
the event loop's time for a small answer.
"""

from asyncio import AbstractEventLoop, Transport
from functools import lru_cache

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from service.http_api.raw_headers import Pairs

_CONTINUE = b"HTTP/1.1 100 "
_UNCOMMON = frozenset({b"connection", b"transfer-encoding"})
"""Headers that decide how the connection goes on, which uvicorn sees to."""


def render_quickly(cycle: RequestResponseCycle, loop: AbstractEventLoop) -> None:
    """Have `cycle`, of which nothing has been sent, send as this module does."""
    cycle.__class__ = _QuickHead
    cycle.transport = HeadWithBody(cycle.transport, loop)  # type: ignore[assignment]  # all that it uses


class _QuickHead(RequestResponseCycle):
    """uvicorn's own, but for the head of an answer of known length after which the connection stays open."""

    async def send(self, message: ASGISendEvent) -> None:
        head = None if self.response_started else self._head(message)
        if head is None:
            await super().send(message)
            return
        self.response_started, self.waiting_for_100_continue = True, False
        self.transport.write(head)

    def _head(self, message: ASGISendEvent) -> bytes | None:
        if message["type"] != "http.response.start" or self.disconnected or self.flow.write_paused:
            return None
        headers = [*self.default_headers, *message.get("headers", ())]
        lengths = [value for name, value in headers if name == b"content-length"]
        if not self.keep_alive or len(lengths) != 1 or any(name in _UNCOMMON for name, _ in headers):
            return None
        self.expected_content_length, self.chunked_encoding = int(lengths[0]), False
        return render_head(message["status"], headers)


def render_head(status: int, headers: Pairs) -> bytes:
    """Status line and headers, with the empty line behind them."""
    return b"".join((STATUS_LINE[status], *[_line(name, value) for name, value in headers], b"\r\n"))


@lru_cache(1024)
def _line(name: bytes, value: bytes) -> bytes:
    if HEADER_RE.search(name):
        raise RuntimeError("Invalid HTTP header name.")
    if HEADER_VALUE_RE.search(value):
        raise RuntimeError("Invalid HTTP header value.")
    return b"%b: %b\r\n" % (name.lower(), value)


class HeadWithBody:
    """The transport of one answer, whose head waits for the first of its body, at most until the loop's next turn: one
    system call and one packet for both."""

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""
        self._begun = False

    def write(self, data: bytes) -> None:
        """See `asyncio.WriteTransport`."""
        if self._head:
            data, self._head = self._head + data, b""
        elif not self._begun and not data.startswith(_CONTINUE):
            self._begun, self._head = True, data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        """See `asyncio.BaseTransport`."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

"""Connections that bring no whole request head: uvicorn waits for them without end and keeps whatever they send.

Those that bring all of a request at once are told of it, which saves the layers above a wait, and their answers have
quick heads.
"""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http_api.answer_heads import render_quickly
from service.http_api.departures import Departure, keep_departure
from service.http_api.whole_bodies import keep_whole_body

HEAD_BYTES = 64 << 10
"""Request line and headers; one more read from the socket may come on top."""


class Connection(HttpToolsProtocol):
    """uvicorn's own protocol with an end to a request's head, in seconds and in bytes."""

    head_s = 20.0

    _head_open = True
    _head_bytes = 0
    _head_timer: TimerHandle | None = None
    _head_just_came = False  # in the piece of data that is being read

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._departure = Departure()
        self._open_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._close_head()
        super().connection_lost(exc)
        self._departure.happened()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._head_open and self._head_bytes > HEAD_BYTES:
            self.send_400_response(f"The request's head is over {HEAD_BYTES} bytes.")
            return
        super().data_received(data)
        self._head_just_came = False
        if self._head_open:
            self._head_bytes += len(data)

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._open_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._close_head()
        self._head_just_came = True
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is self.scope:  # no upgrade, which would have none
            render_quickly(self.cycle, self.loop)
            keep_departure(self.scope, self._departure)  # type: ignore[arg-type]  # the same dict by another name

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        super().on_message_complete()
        cycle = self.cycle
        if self._head_just_came and cycle is not None and cycle.scope is self.scope and not cycle.more_body:
            keep_whole_body(self.scope, bytes(cycle.body))  # type: ignore[arg-type]  # the same dict by another name

    def _open_head(self) -> None:
        self._close_head()
        self._head_open, self._head_bytes = True, 0
        self._head_timer = self.loop.call_later(self.head_s, self.timeout_keep_alive_handler)

    def _close_head(self) -> None:
        self._head_open = False
        if self._head_timer is not None:
            self._head_timer.cancel()


def connections(head_s: float) -> type[Connection]:
    """The protocol with this many seconds for a head, as `uvicorn.Config` takes it: a class."""
    return type("Connection", (Connection,), {"head_s": head_s})

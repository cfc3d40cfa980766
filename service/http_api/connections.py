"""HTTP connections: uvicorn's, which would wait for a request's head without end and keep whatever is sent.

Small sample requests go the express way (`service.http_api.express`). Of all others that bring their body with the head
the layers above are told so, which saves them a wait, and their answers have quick heads.
"""

import asyncio
from asyncio import TimerHandle, Transport
from collections.abc import Callable, Iterable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http_api.answer_heads import render_head, render_quickly
from service.http_api.departures import Departure, keep_departure
from service.http_api.express import LARGEST_BODY, METHOD, PATH, Express
from service.http_api.raw_headers import Pairs
from service.http_api.whole_bodies import keep_whole_body

_EXPRESS_URL, _EXPRESS_METHOD = PATH.encode(), METHOD.encode()
_UNHEARD = asyncio.Event()
"""Set for nobody: whoever goes the express way waits for no message."""
_BODY_S = 0.02  # how long a small body may take after its head, on the express way
HEAD_BYTES = 64 << 10
"""Request line and headers; one more read from the socket may come on top."""


class Connection(HttpToolsProtocol):
    """uvicorn's own protocol with an end to a request's head, in seconds and in bytes."""

    head_s = 20.0
    express: Express | None = None

    _head_open = True
    _head_bytes = 0
    _head_timer: TimerHandle | None = None
    _head_just_came = False  # in the piece of data that is being read
    _held: list[bytes] | None = None  # the body so far of a request that may go the express way
    _body_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self.departure = Departure()
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._close_head()
        if self._held is not None:  # which is told that its client is gone
            self._go_the_long_way()
        super().connection_lost(exc)
        self.departure.happened()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._head_open and self._head_bytes > HEAD_BYTES:
            self.send_400_response(f"The request's head is over {HEAD_BYTES} bytes.")
            return
        super().data_received(data)
        if self._held is not None:  # its body is not whole
            self._wait_for_body()
        self._head_just_came = False
        if self._head_open:
            self._head_bytes += len(data)
            self._watch_head()

    def shutdown(self) -> None:
        """See uvicorn: a request whose body is on its way is answered before the end."""
        if self._held is not None:
            self._go_the_long_way()
        super().shutdown()

    def on_message_begin(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._close_head()
        self._head_open, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        self._close_head()
        self._head_just_came = True
        if self.express is not None and self.url == _EXPRESS_URL and self._free():
            self._held = []
        else:
            self._begin_cycle()

    def on_body(self, body: bytes) -> None:
        """See `httptools.HttpRequestParser`."""
        if self._held is not None:
            self._held.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """See `httptools.HttpRequestParser`."""
        if self._held is not None:
            held = self._let_go()
            if self._went_express(b"".join(held)):
                return
            self._begin_cycle(held)
        super().on_message_complete()
        cycle = self.cycle
        if self._head_just_came and cycle is not None and cycle.scope is self.scope and not cycle.more_body:
            keep_whole_body(self.scope, bytes(cycle.body))  # type: ignore[arg-type]  # the same dict by another name

    def _free(self) -> bool:
        """Whether the request whose head has come is a plain one, and nothing else is under way."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and self.parser.get_method() == _EXPRESS_METHOD
            and self.parser.get_http_version() == "1.1"
            and not self.expect_100_continue
            and not self.parser.should_upgrade()
            and not self.flow.write_paused
        )

    def _went_express(self, body: bytes) -> bool:
        assert self.express is not None
        scope, before = self.scope, self.cycle
        scope["method"], scope["path"] = METHOD, PATH
        errand = self.cycle = _Errand(self)  # type: ignore[assignment]  # all of it that uvicorn uses
        if self.express.take(scope, body, errand):  # type: ignore[arg-type]  # the same dict by another name
            return True
        self.cycle = before
        return False

    def _wait_for_body(self) -> None:
        """Many clients send a head and its body apart, though one right after the other."""
        if sum(map(len, self._held or ())) > LARGEST_BODY:
            self._go_the_long_way()
        elif self._body_timer is None:
            self._body_timer = self.loop.call_later(_BODY_S, self._go_the_long_way)

    def _go_the_long_way(self) -> None:
        self._begin_cycle(self._let_go())

    def _let_go(self) -> list[bytes]:
        """What was held, which no longer is."""
        held, self._held = self._held or [], None
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        return held

    def _begin_cycle(self, body: Iterable[bytes] = ()) -> None:
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is self.scope:  # no upgrade, which would have none
            render_quickly(self.cycle, self.loop)
            keep_departure(self.scope, self.departure)  # type: ignore[arg-type]  # the same dict by another name
        for piece in body:
            super().on_body(piece)

    def _watch_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_s, self.timeout_keep_alive_handler)

    def _close_head(self) -> None:
        self._head_open = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Errand:
    """A request that goes the express way, where uvicorn has a `RequestResponseCycle` for one of ASGI."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.scope = connection.scope
        self.keep_alive = connection.parser.should_keep_alive()
        self.message_event = _UNHEARD
        self.response_complete = False
        self.disconnected = False

    def answer(self, status: int, headers: Pairs, content: bytes) -> None:
        """See `service.http_api.express.Errand`."""
        connection = self._connection
        connection.departure.listen(None)
        self.response_complete = True
        if self.disconnected:
            return
        last = () if self.keep_alive else ((b"connection", b"close"),)
        head = render_head(status, (*connection.server_state.default_headers, *headers, *last))
        connection.transport.write(head + content)
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()

    def when_left(self, listener: Callable[[], object]) -> None:
        """See `service.http_api.express.Errand`."""
        self._connection.departure.listen(listener)


def connections(head_s: float, express: Express | None = None) -> type[Connection]:
    """The protocol with this many seconds for a head, as `uvicorn.Config` takes it: a class."""
    return type("Connection", (Connection,), {"head_s": head_s, "express": express})

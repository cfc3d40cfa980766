"""A closed loop of clients that cost little: one protocol object per connection, no task and no future per request.

A client library takes up to a millisecond of a core per request, which on the machine of the server would measure the
client; these take about ten microseconds. Without TLS.
"""

import asyncio
import time
from collections.abc import Callable
from typing import cast

import uvloop

from service.client.load import Load


class UnexpectedAnswer(Exception):
    """Something else than images; the text is the beginning of the answer."""


class LeanClient(asyncio.Protocol):
    """Sends a request, waits for the whole answer, and sends it again until the end that `start` was told.

    A transport says what it sends (`request`) and calls `answered` or `fail` from its `data_received`.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._sent = self._end = 0.0
        self._waiting = True  # for an answer; before the first request, for its turn
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def request(self) -> bytes:
        """The bytes of the next request."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def start(self, end: float) -> None:
        """Send the first request; none after `end`, on the clock of `time.perf_counter`."""
        self._end = end
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if self.done.done():
            return
        if exc is None and not self._waiting:
            self.done.set_result(None)
        else:
            self.done.set_exception(exc or UnexpectedAnswer("the server closed a connection that waited"))

    def answered(self) -> None:
        """A whole good answer has come."""
        now = time.perf_counter()
        self._load.latencies.append(now - self._sent)
        self._load.outcomes["ok"] += 1
        self._waiting = False
        if now < self._end:
            self._send()
        else:
            self.transport.close()

    def fail(self, answer: bytes) -> None:
        """Another answer has come."""
        if not self.done.done():
            self.done.set_exception(UnexpectedAnswer(answer[:500].decode(errors="replace")))
        self.transport.close()

    def _send(self) -> None:
        self._waiting, self._sent = True, time.perf_counter()
        if not self.transport.is_closing():  # else `connection_lost` tells it, or has
            self.transport.write(self.request())


def run_clients(make: Callable[[Load], LeanClient], host: str, port: int, *, concurrency: int, seconds: float) -> Load:
    """Let `concurrency` clients, each with a connection of its own, ask `host:port` for `seconds`.

    The time ends with the last answer, and begins once all are connected: with many clients and a short time, to count
    the answers behind its end but not the time that they took would flatter the server.

    Raises:
        UnexpectedAnswer: an answer was not good.
        OSError: the server cannot be reached.
    """
    load = Load()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        clients = [(await loop.create_connection(lambda: make(load), host, port))[1] for _ in range(concurrency)]
        start = time.perf_counter()
        for client in clients:
            client.start(start + seconds)
        await asyncio.gather(*(client.done for client in clients))
        load.seconds = time.perf_counter() - start

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return load

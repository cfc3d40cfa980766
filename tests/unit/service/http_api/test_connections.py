"""What a connection tells the application of a body: its bytes at once where they came with the head, else nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from service.http_api.answer_heads import HeadWithBody
from service.http_api.connections import connections
from service.http_api.departures import departure_of
from service.http_api.whole_bodies import whole_body

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

Seen = list[tuple[bytes | None, bytes]]


@asynccontextmanager
async def serving(seen: Seen) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that notes what it was told of each body, and what it received."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        told, received, more = whole_body(scope), b"", True
        while more:
            message = await receive()
            received, more = received + message["body"], message["more_body"]
        seen.append((told, received))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async with serving_application(application) as connected:
        yield connected


@asynccontextmanager
async def serving_application(application: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server of `application`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, http=connections(20.0), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))  # `serve` would take the test's signals
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = server.force_exit = True
        await task


async def answers(reader: asyncio.StreamReader, count: int) -> None:
    for _ in range(count):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (HEAD + b"hello", [(b"hello", b"hello")]),
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", [(b"hello", b"hello")]),
        (HEAD + b"first" + HEAD + b"other", [(b"first", b"first"), (b"other", b"other")]),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", [(b"", b"")]),
    ],
    ids=["length", "chunked", "two in a row", "none"],
)
async def test_a_body_that_comes_with_its_head_is_known_at_once(sent: bytes, expected: Seen) -> None:
    seen: Seen = []
    async with serving(seen) as (reader, writer):
        writer.write(sent)
        await answers(reader, len(expected))
    assert seen == expected


@pytest.mark.parametrize("pieces", [(HEAD, b"hello"), (HEAD + b"he", b"llo"), (HEAD[:20], HEAD[20:], b"hello")])
async def test_a_body_that_comes_later_is_received(pieces: tuple[bytes, ...]) -> None:
    seen: Seen = []
    async with serving(seen) as (reader, writer):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.05)
        await answers(reader, 1)
    assert seen == [(None, b"hello")]


async def test_the_head_of_an_answer_comes_with_its_body_and_does_not_wait_for_a_late_one() -> None:
    sent = list[bytes]()

    class Transport(asyncio.Transport):
        def write(self, data: Any) -> None:
            sent.append(bytes(data))

        def close(self) -> None:
            sent.append(b"closed")

    loop = asyncio.get_running_loop()
    answer = HeadWithBody(Transport(), loop)
    answer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    answer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    answer.write(b"body")
    answer.write(b"more")
    await asyncio.sleep(0)
    assert sent == [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nbody", b"more"]
    sent.clear()
    late = HeadWithBody(Transport(), loop)
    late.write(b"head")
    assert sent == []
    await asyncio.sleep(0)
    late.write(b"body")
    assert sent == [b"head", b"body"]
    sent.clear()
    bare = HeadWithBody(Transport(), loop)
    bare.write(b"head")
    bare.close()
    assert sent == [b"head", b"closed"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"content-length", b"2"), (b"X-Case", b"Kept")], b"content-length: 2\r\nx-case: Kept\r\n\r\nok"),
        ([(b"x", b"1")], b"x: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        (
            [(b"content-length", b"2"), (b"connection", b"close")],
            b"content-length: 2\r\nconnection: close\r\n\r\nok",
        ),
    ],
    ids=["known length", "chunked", "closing"],
)
@pytest.mark.parametrize("times", [1, 2])
async def test_heads_are_those_of_uvicorn(headers: Any, expected: bytes, times: int) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    for _ in range(times):
        async with serving_application(application) as (reader, writer):
            writer.write(HEAD + b"hello")
            status, *own, rest = (await reader.readuntil(expected)).split(b"\r\n", 3)
            assert status == b"HTTP/1.1 200 OK"
            assert [line.split(b":")[0] for line in own] in ([b"server", b"date"], [b"date", b"server"])
            assert rest == expected


@pytest.mark.parametrize("header", [(b"x", b"1\r\nset-cookie: a=b"), (b"x\r\ny", b"1")])
async def test_a_header_that_would_be_two_is_never_sent(header: tuple[bytes, bytes]) -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0"), header]})
        await send({"type": "http.response.body"})

    async with serving_application(application) as (reader, writer):
        writer.write(HEAD + b"hello")
        answer = await asyncio.wait_for(reader.read(200), 2)
        assert answer.startswith(b"HTTP/1.1 500")
        assert b"set-cookie" not in answer


async def test_the_departure_of_a_client_is_told() -> None:
    heard = asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        departure = departure_of(scope)
        assert departure is not None
        assert not departure.gone
        departure.listen(heard.set)
        await asyncio.sleep(5)

    async with serving_application(application) as (_, writer):
        writer.write(HEAD + b"hello")
        await asyncio.sleep(0.05)
        assert not heard.is_set()
        writer.close()
        await asyncio.wait_for(heard.wait(), 2)

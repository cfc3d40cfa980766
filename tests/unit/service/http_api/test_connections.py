"""What a connection tells the application of a body: its bytes at once where they came with the head, else nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from service.http_api.connections import connections
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

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, http=connections(20.0), lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))  # `serve` would take the test's signals
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
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

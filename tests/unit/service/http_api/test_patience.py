"""Slow clients have an end."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.errors import Cancelled, DeadlineExceeded
from service.http_api.patience import Patience

GRACE_S = 0.1


def scope() -> dict[str, Any]:
    return {"type": "http", "headers": [], "state": {}}


async def reader(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * 1_000_000})


async def no_send(message: Any) -> None:
    pass


async def test_a_body_that_never_ends_is_given_up() -> None:
    async def receive() -> Any:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b"x", "more_body": True}

    asked, start = scope(), time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r"body: not whole after 0\.1 s and 1 s more per 20000 bytes"):
        await Patience(reader, GRACE_S)(asked, receive, no_send)
    assert time.monotonic() - start < 2
    assert asked["state"]["close"], "nobody waits for the rest of it"


async def test_a_large_body_may_take_longer() -> None:
    pieces = iter([(b"x" * 10_000, True)] * 3 + [(b"", False)])

    async def receive() -> Any:
        await asyncio.sleep(0.05)
        body, more = next(pieces)
        return {"type": "http.request", "body": body, "more_body": more}

    await Patience(reader, GRACE_S)(scope(), receive, no_send)


async def test_waiting_for_the_end_of_the_connection_has_no_limit() -> None:
    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": b""}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        message = next(messages)
        await asyncio.sleep(3 * GRACE_S if message["type"] == "http.disconnect" else 0)
        return message

    await Patience(waits, GRACE_S)(scope(), receive, no_send)


async def test_a_large_answer_goes_out_in_pieces_each_after_the_other() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    await Patience(reader, GRACE_S)(scope(), receive, send)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert [len(message["body"]) for message in bodies] == [65_536] * 15 + [16_960]
    assert [message["more_body"] for message in bodies] == [True] * 15 + [False]


async def test_a_client_that_does_not_read_loses_its_answer() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    sent = 0

    async def send(message: Any) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))
        if sent > 300_000:
            await asyncio.sleep(60)

    asked = scope()
    with pytest.raises(Cancelled):
        await Patience(reader, GRACE_S, slowest=1 << 22)(asked, receive, send)
    assert asked["state"]["status"] == 499
    assert sent == 327_680

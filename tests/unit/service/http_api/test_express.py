"""Small sample requests take the express way, which answers byte for byte what the long way does."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import Scope

from runtime.store import DirectoryStore
from service.engine import Engine
from service.http_api.application import create_application
from service.http_api.browsers import BrowserPolicy
from service.http_api.connections import connections
from service.http_api.express import LARGEST_BODY, Errand, Express
from service.http_api.recording import Recorder
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.quotas import Quotas
from tests.unit.service.http_api.conftest import MAX_BODY
from tests.unit.service.parts import HeldGenerator, new_metrics, running_engine, until, value_of

RAW: dict[str, Any] = {"seed": 7, "format": "raw"}


class Watched(Express):
    """Notes which requests it took."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.took: list[bool] = []

    def take(self, scope: Scope, body: bytes, errand: Errand) -> bool:
        self.took.append(super().take(scope, body, errand))
        return self.took[-1]


@dataclass
class Server:
    """One in this process, and what tests look at."""

    engine: Engine
    express: Watched
    metrics: Metrics
    port: int
    uvicorn: uvicorn.Server
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> "Client":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        return Client(reader, writer)


@dataclass
class Client:
    """A connection that sends bytes as they are."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes, pause_s: float = 0.06) -> bytes:
        """The answer to a request that is sent in `pieces`; the pause is longer than a held request waits."""
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(pause_s)
            self.writer.write(piece)
        return await self.answer()

    async def answer(self) -> bytes:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        assert length is not None
        return re.sub(rb"\r\ndate: [^\r]*", b"", head) + await self.reader.readexactly(int(length[1]))


@asynccontextmanager
async def serving(
    store: DirectoryStore,
    keys: KeyFile,
    *,
    quotas: Callable[[Metrics], Quotas] = Quotas,
    policy: BrowserPolicy | None = None,
) -> AsyncIterator[Server]:
    policy, metrics = policy or BrowserPolicy(), new_metrics()
    async with running_engine(store, metrics, default_model="tiny") as engine:
        limits = quotas(metrics)
        express = Watched(engine, Recorder(metrics), keys, limits, policy, max_body_bytes=MAX_BODY)
        application = create_application(
            engine,
            Lifecycle(engine.registry),
            metrics,
            keys,
            max_body_bytes=MAX_BODY,
            quotas=limits,
            browsers=policy,
        )
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            application, http=connections(20.0, express), lifespan="off", log_config=None, server_header=False
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))  # `serve` would take the test's signals
        running = Server(engine, express, metrics, listener.getsockname()[1], server)
        try:
            yield running
        finally:
            for writer in running.writers:
                writer.close()
            server.should_exit = True
            await task


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path)


@pytest.fixture
async def server(shared_store: DirectoryStore, keys: KeyFile) -> AsyncIterator[Server]:
    async with serving(shared_store, keys) as running:
        yield running


def request(body: bytes | dict[str, Any], *headers: str) -> tuple[bytes, bytes]:
    """Head and body of a request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    host = () if any(header.startswith("Host:") for header in headers) else ("Host: localhost",)
    given = [*host, "X-Request-Id: one", f"Content-Length: {len(content)}", *headers]
    return b"POST /v1/samples HTTP/1.1\r\n" + "\r\n".join([*given, "", ""]).encode(), content


TAKEN: dict[str, tuple[bytes | dict[str, Any], tuple[str, ...]]] = {
    "raw": (RAW, ()),
    "several": ({**RAW, "n": 3, "labels": [1, "2", 3], "truncation": 0.5}, ()),
    "seeds": ({"seeds": [5, 3, 5], "format": "npy"}, ()),
    "another model": ({**RAW, "model": "plain@1"}, ()),
    "an image": ({"seed": 1}, ("Accept: image/png",)),
    "a label that is none": ({**RAW, "labels": "no such"}, ()),
    "a precision that is none": ({**RAW, "precision": "int4"}, ()),
    "a priority that is none": ({**RAW, "priority": "urgent"}, ()),
    "too large a seed": ({**RAW, "seed": 2**60}, ()),
    "too many for the server": ({**RAW, "seeds": [1], "n": 2}, ()),
    "the last": (RAW, ("Connection: close",)),
}
LONG: dict[str, tuple[bytes | dict[str, Any], tuple[str, ...]]] = {
    "no JSON": (b"{", ()),
    "an unknown field": ({"sed": 1}, ()),
    "an unknown model": ({**RAW, "model": "nobody"}, ()),
    "no image": ({**RAW, "n": 0}, ()),
    "many images": ({**RAW, "n": 65}, ()),
    "a large body": ({**RAW, "model": "x" * LARGEST_BODY}, ()),
    "latents": ({"latents": [[0.5] * 16], "labels": 1, "format": "raw"}, ()),
    "a form that is none": (RAW, ("Accept: text/html",)),
    "a layout that does not fit": ({"n": 2, "layout": "images"}, ("Accept: image/png",)),
    "another host": (RAW, ("Host: evil.example",)),
    "another site": (RAW, ("Origin: https://evil.example",)),
    "behind a proxy": (RAW, ("X-Forwarded-Proto: https",)),
    "a key nobody asked for": (RAW, ("Authorization: Bearer nonsense", "Accept: text/html")),
}


@pytest.mark.parametrize(
    ("body", "headers", "taken"),
    [(*case, True) for case in TAKEN.values()] + [(*case, False) for case in LONG.values()],
    ids=[*TAKEN, *LONG],
)
async def test_both_ways_give_the_same_bytes(
    server: Server, body: bytes | dict[str, Any], headers: tuple[str, ...], taken: bool
) -> None:
    head, content = request(body, *headers)
    at_once = await (await server.connect()).send(head + content)
    assert server.express.took == [taken]
    late = await (await server.connect()).send(head, content)
    assert server.express.took == [taken], "a body that comes late goes the long way"
    stripped = [re.sub(rb'"created": \d+', b"", answer) for answer in (at_once, late)]
    assert stripped[0] == stripped[1]
    assert b"\r\nx-request-id: one\r\n" in at_once
    status = at_once.split(b" ", 2)[1].decode()
    counted = {
        sample.labels["code"]: sample.value
        for family in server.metrics.requests.collect()
        for sample in family.samples
        if sample.name == "latentd_requests_total"
    }
    assert counted == {status: 2.0}
    assert value_of(server.metrics, "latentd_request_duration_seconds_count", api="http") == 2


async def test_keys_and_scopes_are_asked_for_on_both_ways(server: Server, keys: KeyFile) -> None:
    key, reader = keys.create("a"), keys.create("b", scopes=["train"])
    await asyncio.sleep(0.1)
    for headers, status, taken in (
        ((), b"401", False),
        (("Authorization: Bearer nonsense",), b"401", False),
        ((f"Authorization: Bearer {reader}",), b"403", False),
        ((f"Authorization: Bearer {key}",), b"200", True),
    ):
        head, content = request(RAW, *headers)
        server.express.took.clear()
        answer = await (await server.connect()).send(head + content)
        assert answer == await (await server.connect()).send(head, content)
        assert (answer.split(b" ", 2)[1], server.express.took) == (status, [taken])


@pytest.mark.parametrize("quotas", [{"images_per_second": 1.0}, {"concurrent_requests": 1}])
async def test_callers_with_limits_go_the_long_way(
    shared_store: DirectoryStore, keys: KeyFile, quotas: dict[str, Any]
) -> None:
    async with serving(shared_store, keys, quotas=lambda metrics: Quotas(metrics, **quotas)) as server:
        answer = await (await server.connect()).send(b"".join(request(RAW)))
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.express.took == [False]


async def test_headers_for_browsers_are_there(shared_store: DirectoryStore, keys: KeyFile) -> None:
    policy = BrowserPolicy(cors_origins=frozenset({"https://good.example"}))
    async with serving(shared_store, keys, policy=policy) as server:
        answer = await (await server.connect()).send(b"".join(request(RAW)))
    assert server.express.took == [True]
    assert b"\r\nvary: Origin\r\n" in answer
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer


async def test_a_body_right_behind_its_head_goes_the_express_way(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http_api.connections._BODY_S", 10.0)
    client = await server.connect()
    head, content = request(RAW)
    whole = await client.send(head + content)
    for pieces in ((head, content), (head[:9], head[9:], content[:5], content[5:])):
        assert await client.send(*pieces, pause_s=0.002) == whole
    assert server.express.took == [True, True, True]


async def test_requests_on_one_connection_are_answered_in_order(server: Server) -> None:
    client = await server.connect()
    seeds = [3, 4, 5, 6, 7]
    alone = [await (await server.connect()).send(b"".join(request({**RAW, "seed": seed}))) for seed in seeds]
    client.writer.write(b"".join(b"".join(request({**RAW, "seed": seed})) for seed in seeds))
    assert [await client.answer() for _ in seeds] == alone
    client.writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"".join(request(RAW)))
    assert (await client.answer()).endswith(b'"live"}')
    assert (await client.answer()).startswith(b"HTTP/1.1 200")


async def test_what_is_no_http_behind_a_held_head_is_refused(server: Server) -> None:
    client = await server.connect()
    client.writer.write(b"POST /v1/samples HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert (await client.reader.read()).startswith(b"HTTP/1.1 400")
    assert server.express.took == []


async def test_a_client_that_leaves_within_its_body_is_counted(server: Server) -> None:
    for pieces in ((b"",), (b"{", b'"seed"')):
        client = await server.connect()
        for piece in (request(RAW)[0], *pieces):
            client.writer.write(piece)
            await asyncio.sleep(0.002)
        client.writer.close()
    left = {"model": "", "version": "", "api": "http", "code": "499"}
    counted = partial(server.metrics.registry.get_sample_value, "latentd_requests_total", left)
    await until(lambda: counted() == 2)
    assert server.express.took == []


def _took(express: Watched, count: int) -> bool:
    return len(express.took) == count


async def test_a_client_that_leaves_takes_its_rows_along(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await server.engine.registry.get("tiny")
    held = HeldGenerator(model.lane("fp32").generator.package)
    monkeypatch.setattr(model.lane("fp32"), "generator", held)
    held.gate.clear()
    first, gone, stays = [await server.connect() for _ in range(3)]
    body = {"format": "raw", "precision": "fp32"}
    for number, (client, n) in enumerate(((first, 2), (gone, 9), (stays, 1)), 1):
        client.writer.write(b"".join(request({**body, "seed": number, "n": n})))
        await until(partial(_took, server.express, number))
    gone.writer.close()
    await until(lambda: value_of(server.metrics, "latentd_rejected_total", reason="cancelled") == 1)
    held.gate.set()
    assert (await first.answer()).startswith(b"HTTP/1.1 200")
    assert (await stays.answer()).startswith(b"HTTP/1.1 200")
    assert sum(held.sizes) < 12, "what had not started is not computed"
    left = {"model": "tiny", "version": "1", "api": "http", "code": "499"}
    assert value_of(server.metrics, "latentd_requests_total", **left) == 1


async def test_a_batch_that_fails_is_answered_and_logged(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = await server.engine.registry.get("tiny")
    broken = HeldGenerator(model.lane("fp32").generator.package)
    broken.fails = lambda latents: True
    monkeypatch.setattr(model.lane("fp32"), "generator", broken)
    answer = await (await server.connect()).send(b"".join(request({**RAW, "precision": "fp32"})))
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"on fire" not in answer
    assert b'"code":"internal"' in answer
    assert "request one failed" in caplog.text
    assert server.express.took == [True]


async def test_the_server_answers_what_is_under_way_before_it_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = await server.engine.registry.get("tiny")
    held = HeldGenerator(model.lane("fp32").generator.package)
    monkeypatch.setattr(model.lane("fp32"), "generator", held)
    held.gate.clear()
    computed, half_sent = await server.connect(), await server.connect()
    head, content = request({**RAW, "precision": "fp32"})
    computed.writer.write(head + content)
    await until(held.started.is_set)
    half_sent.writer.write(head)
    await asyncio.sleep(0.005)
    server.uvicorn.should_exit = True
    await asyncio.sleep(0.3)
    half_sent.writer.write(content)
    held.gate.set()
    for client in (computed, half_sent):
        answer = await client.answer()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close\r\n" in answer
        assert await client.reader.read() == b""

"""Starting quickly and lean, refusing to start unsafely, stopping without losing anything."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest, SampleStreamResponse
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import running_server, start_latentd
from tests.kit.tiny_package import publish_tiny


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, "tiny")
    return store


def refusal(store: DirectoryStore, state: Path, *args: str, env: dict[str, str] | None = None) -> str:
    """The log of a server that must end by itself with an error."""
    state.mkdir(exist_ok=True)
    log = state / "log"
    process = start_latentd(
        *("serve", "--store", str(store.root), "--state", str(state), "--http-port", "0", "--grpc-port", "0"),
        *args,
        log=log,
        env=env,
    )
    assert process.wait(30) == 1
    text = log.read_text()
    assert "Traceback" not in text
    return text


def test_ready_within_3_seconds_under_200_mb_without_torch(store: DirectoryStore, tmp_path: Path) -> None:
    with running_server(store.root, tmp_path / "state") as server:
        assert server.ready_after < 3.0
        assert httpx.post(f"{server.http}/v1/samples", json={"n": 64}).status_code == 200
        status = Path(f"/proc/{server.pid}/status").read_text()
        resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        assert resident_kb < 200_000
        assert "torch" not in Path(f"/proc/{server.pid}/maps").read_text()


def test_beyond_loopback_without_keys_it_refuses_and_says_what_to_do(store: DirectoryStore, tmp_path: Path) -> None:
    text = refusal(store, tmp_path / "state", "--host", "0.0.0.0")
    assert "0.0.0.0 is reachable from other machines and there is no API key" in text
    assert "latentd keys create" in text
    assert "--host 127.0.0.1" in text


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        (("--queue-limit", "many"), None, ("queue_limit", "flag", "'many'")),
        (("--max-images", "10", "--queue-limit", "5"), None, ("max_images (10)", "queue_limit (5)")),
        ((), {"LATENTD_MAX_IMAGES": "0"}, ("max_images", "environment", "'0'")),
        ((), {"LATENTD_MAX_IMAGE": "3"}, ("LATENTD_MAX_IMAGE", "did you mean max_images")),
    ],
)
def test_bad_settings_stop_the_start(
    store: DirectoryStore, tmp_path: Path, args: tuple[str, ...], env: dict[str, str] | None, words: tuple[str, ...]
) -> None:
    text = refusal(store, tmp_path / "state", *args, env=env)
    assert [word for word in words if word not in text] == [], text


def test_a_port_in_use_is_named(store: DirectoryStore, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port}" in refusal(store, tmp_path / "state", "--http-port", port)
        assert f"127.0.0.1:{port}" in refusal(store, tmp_path / "state", "--grpc-port", port)


def test_impatient_signals_do_not_make_a_stop_a_failure(store: DirectoryStore, tmp_path: Path) -> None:
    with running_server(store.root, tmp_path / "state") as server:  # leaving asserts exit code 0
        end = time.monotonic() + 30
        while server.process.poll() is None and time.monotonic() < end:
            server.process.terminate()
            time.sleep(0.001)


async def test_what_is_in_flight_at_sigterm_is_finished(store: DirectoryStore, tmp_path: Path) -> None:
    """40 requests and 20 streams a transport, against a model slow enough that most of them are waiting."""
    publish_tiny(store, "slow", delay=20)
    with running_server(store.root, tmp_path / "state") as server:
        async with (
            httpx.AsyncClient(base_url=server.http, timeout=60) as http,
            grpc.aio.insecure_channel(server.grpc) as channel,
        ):
            stub = GenerationStub(channel)
            asked: list[dict[str, Any]] = [{"model": "slow", "n": 8, "seed": seed} for seed in range(40)]
            over_http = [asyncio.ensure_future(http.post("/v1/samples", json=body)) for body in asked]
            over_grpc = [stub.Sample(SampleRequest(**body)) for body in asked]
            streams = [asyncio.ensure_future(streamed_lines(http, body)) for body in asked[:20]]
            calls = [asyncio.ensure_future(seeds(stub.SampleStream(SampleRequest(**body)))) for body in asked[:20]]
            await over_http[0]
            await over_grpc[0]
            assert not all(future.done() for future in (*streams, *calls))
            os.kill(server.pid, signal.SIGTERM)
            assert {answer.status_code for answer in await asyncio.gather(*over_http)} == {200}
            assert {len(answer.images) for answer in await asyncio.gather(*over_grpc)} == {8}
            assert {tuple(kinds) for kinds in await asyncio.gather(*streams)} == {("image",) * 8 + ("done",)}
            assert await asyncio.gather(*calls) == [[seed + row for row in range(8)] for seed in range(20)]
        assert server.process.wait(15) == 0
        assert not (tmp_path / "state" / "server.json").exists()


async def streamed_lines(http: httpx.AsyncClient, body: dict[str, Any]) -> list[str]:
    """The kinds of the lines of a stream over HTTP."""
    answer = await http.post("/v1/samples", json={**body, "stream": True}, headers={"Accept": "application/x-ndjson"})
    return [json.loads(line)["type"] for line in answer.text.splitlines()]


async def seeds(call: AsyncIterable[SampleStreamResponse]) -> list[int]:
    """The seeds of a stream over gRPC."""
    return [message.image.seed async for message in call]

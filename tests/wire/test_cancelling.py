"""Clients that leave, at random moments, over both transports: neighbours notice nothing, their rows are spared."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest

from runtime.generator import Generator
from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import FORMAT_RAW, PRECISION_FP32, SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

REQUESTS, ROWS = 200, 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """A model of about 2 ms per image, so that requests wait for each other."""
    made = DirectoryStore(tmp_path_factory.mktemp("slow") / "models")
    publish_tiny(made, delay=25, precisions=("fp32",))
    return made


@pytest.fixture
def slow(store: DirectoryStore, tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(store.root, tmp_path / "state") as server:
        yield server


def metric(server: ServerProcess, name: str) -> float:
    lines = httpx.get(f"{server.http}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


async def test_half_of_the_clients_leave(slow: ServerProcess, store: DirectoryStore) -> None:
    chance = random.Random(0)
    generator = Generator(store.open("tiny", 1), "fp32")
    http = httpx.AsyncClient(base_url=slow.http, timeout=60, limits=httpx.Limits(max_connections=REQUESTS))
    channel = grpc.aio.insecure_channel(slow.grpc)
    stub = GenerationStub(channel)

    async def ask(index: int) -> bytes:
        seed = index * ROWS
        if index % 2:
            fields = {"seed": seed, "n": ROWS, "format": "raw", "precision": "fp32"}
            answer = await http.post("/v1/samples", json=fields)
            assert answer.status_code == 200, answer.text
            return answer.content
        message = SampleRequest(seed=seed, n=ROWS, format=FORMAT_RAW, precision=PRECISION_FP32)
        return b"".join(image.data for image in (await stub.Sample(message)).images)

    async def leave(task: "asyncio.Task[bytes]") -> None:
        await asyncio.sleep(chance.uniform(0, 0.8))
        task.cancel()

    async with http, channel:
        tasks = [asyncio.create_task(ask(index)) for index in range(REQUESTS)]
        leavers = set(chance.sample(range(REQUESTS), REQUESTS // 2))
        await asyncio.gather(*(leave(tasks[index]) for index in leavers))
        for index, task in enumerate(tasks):
            if index in leavers:
                with suppress(asyncio.CancelledError):
                    await task
                continue
            expected = generator.sample(np.arange(index * ROWS, (index + 1) * ROWS, dtype=np.uint64))
            assert await task == expected.tobytes()
    for name in ("latentd_queue_rows", "latentd_inflight_batches"):
        assert metric(slow, name) == 0
    cancelled = metric(slow, 'latentd_rejected_total{reason="cancelled"}')
    assert 0 < cancelled <= REQUESTS // 2


async def test_what_had_not_started_is_not_computed(slow: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=slow.http, timeout=60) as http:
        before = metric(slow, "latentd_batch_rows_sum")
        held = asyncio.create_task(http.post("/v1/samples", json={"n": 400, "format": "raw"}))
        await asyncio.sleep(0.1)
        gone = [asyncio.create_task(http.post("/v1/samples", json={"n": 100, "format": "raw"})) for _ in range(20)]
        await asyncio.sleep(0.1)
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert (await held).status_code == 200
    computed = metric(slow, "latentd_batch_rows_sum") - before
    assert 400 <= computed <= 400 + 100  # of two thousand: what the workers had taken when their clients left
    assert metric(slow, "latentd_queue_rows") == 0

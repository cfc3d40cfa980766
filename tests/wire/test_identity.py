"""The same (model, version, precision, seed, label, truncation) is the same image, however it is asked for."""

import asyncio
import io

import grpc
import httpx
import numpy as np
import pytest

from service.grpc_api._generated.latentd_v1_generation_pb2 import Precision, SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess

ROWS = 64


@pytest.mark.parametrize("precision", ["fp32", "int8"])
async def test_concurrent_single_images_equal_the_rows_of_one_request(server: ServerProcess, precision: str) -> None:
    seed = 1_000_000
    async with (
        httpx.AsyncClient(base_url=server.http, timeout=60) as http,
        grpc.aio.insecure_channel(server.grpc) as channel,
    ):
        stub = GenerationStub(channel)

        async def over_http(first: int, n: int) -> bytes:
            body = {"model": "tiny", "seed": first, "n": n, "precision": precision, "format": "raw"}
            answer = await http.post("/v1/samples", json=body)
            assert answer.status_code == 200, answer.text
            return answer.content

        async def over_grpc(first: int) -> bytes:
            request = SampleRequest(
                model="tiny", seed=first, precision=Precision.Value(f"PRECISION_{precision.upper()}")
            )
            answer = await stub.Sample(request)
            return answer.images[0].data

        together = await over_http(seed, ROWS)
        singles = await asyncio.gather(
            *(over_http(seed + row, 1) for row in range(ROWS)), *(over_grpc(seed + row) for row in range(ROWS))
        )
    size = len(together) // ROWS
    rows = [together[row * size : (row + 1) * size] for row in range(ROWS)]
    assert len(set(rows)) == ROWS
    assert singles == rows + rows


async def test_mixed_requests_get_their_own_rows(server: ServerProcess) -> None:
    """200 concurrent requests of every size, label and truncation, each compared with itself alone."""
    random = np.random.default_rng(0)
    bodies = [
        {
            "model": "tiny",
            "seed": int(random.integers(2**40)),
            "n": int(random.integers(1, 40)),
            "labels": int(random.integers(10)),
            "truncation": float(random.uniform(0.1, 1)),
            "precision": str(random.choice(["fp32", "int8"])),
            "priority": str(random.choice(["interactive", "bulk"])),
            "format": "npy",
        }
        for _ in range(200)
    ]

    async with httpx.AsyncClient(base_url=server.http, timeout=60) as http:

        async def images(body: dict[str, object]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
            answer = await http.post("/v1/samples", json=body)
            assert answer.status_code == 200, answer.text
            loaded: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = np.load(io.BytesIO(answer.content))
            return loaded

        crowded = await asyncio.gather(*(images(body) for body in bodies))
        for body, found in zip(bodies[:50], crowded, strict=False):
            assert np.array_equal(found, await images(body))

"""The same (model, version, precision, seed, label, truncation) is the same image, however it is asked for."""

import asyncio
import base64
import io
from collections.abc import Sequence
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.generator import Generator
from runtime.store import DirectoryStore
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


async def test_a_thousand_mixed_requests_get_their_own_rows(server: ServerProcess) -> None:
    """Every size, label, latent, truncation, precision and format at once, each compared with the generator itself."""
    random = np.random.default_rng(0)
    package = DirectoryStore(server.log.parents[1] / "models").open("tiny", 1)
    generators = {precision: Generator(package, precision) for precision in package.manifest.precisions}
    bodies = [mixed(random, package.manifest.latent.dim) for _ in range(1_000)]
    at_once = asyncio.Semaphore(100)

    async with httpx.AsyncClient(base_url=server.http, timeout=60) as http:

        async def images(body: dict[str, Any]) -> NDArray[np.uint8]:
            accept = {"Accept": "application/json" if body["format"] == "png" else "*/*"}
            async with at_once:
                answer = await http.post("/v1/samples", json=body, headers=accept)
            assert answer.status_code == 200, answer.text
            return pixels_of(answer, package.manifest.output.shape)

        found = await asyncio.gather(*(images(body) for body in bodies))
    for body, rows in zip(bodies, found, strict=True):
        assert np.array_equal(rows, drawn(generators[body["precision"]], body)), body


def mixed(random: np.random.Generator, dim: int) -> dict[str, Any]:
    """A request that nobody else makes."""
    n = int(random.integers(1, 24))
    body: dict[str, Any] = {
        "model": "tiny",
        "precision": str(random.choice(["fp32", "int8"])),
        "priority": str(random.choice(["interactive", "bulk"])),
        "format": str(random.choice(["npy", "raw", "png"])),
    }
    kind = random.integers(3)
    if kind == 0:
        body |= {"seed": int(random.integers(2**40)), "n": n}
    elif kind == 1:
        body["seeds"] = [int(seed) for seed in random.integers(2**40, size=n)]
    else:
        body["latents"] = random.normal(size=(n, dim)).astype(np.float32).tolist()
    if kind == 2 or random.random() < 0.5:
        body["labels"] = [int(label) for label in random.integers(10, size=n)]
    if random.random() < 0.5:
        body["truncation"] = float(np.float32(random.uniform(0.1, 1)))
    return body


def drawn(generator: Generator, body: dict[str, Any]) -> NDArray[np.uint8]:
    """What the request asks for, from the generator."""
    labels = np.array(body["labels"], dtype=np.int64) if "labels" in body else None
    truncation = body.get("truncation", 1.0)
    if "latents" in body:
        assert labels is not None
        return generator.run(np.array(body["latents"], dtype=np.float32) * np.float32(truncation), labels)
    seeds = body.get("seeds") or range(body["seed"], body["seed"] + body["n"])
    return generator.sample(np.array(seeds, dtype=np.uint64), labels, truncation)


def pixels_of(answer: httpx.Response, shape: Sequence[int]) -> NDArray[np.uint8]:
    """The images of an answer, uint8 ``[n, H, W, C]``."""
    media_type = answer.headers["Content-Type"]
    if media_type == "application/x-npy":
        loaded: NDArray[np.uint8] = np.load(io.BytesIO(answer.content))
        return loaded
    if media_type == "application/octet-stream":
        return np.frombuffer(answer.content, np.uint8).reshape(-1, *shape)
    files = [base64.b64decode(item["b64_json"]) for item in answer.json()["data"]]
    return np.stack([np.asarray(Image.open(io.BytesIO(file))).reshape(shape) for file in files])

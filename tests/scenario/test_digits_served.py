"""The trained model, served: the promises of the server hold with a real package, not only with a tiny one."""

import asyncio
from pathlib import Path

import grpc
import httpx
import pytest

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import Precision, SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess, running_server
from tests.scenario.conftest import Trained


def test_the_package_has_fp32_and_int8_and_says_how_it_came_to_be(digits: Trained) -> None:
    manifest = DirectoryStore(digits.store).open("digits-cgan", 1).manifest
    assert set(manifest.precisions) == {"fp32", "int8"}
    assert manifest.precisions["int8"].size < manifest.precisions["fp32"].size
    assert manifest.classes == list("0123456789")
    assert manifest.provenance.training_seconds <= 120
    assert manifest.provenance.data.images < 1797  # a part is held out
    assert {"checkpoint.pt", "samples.png", "metrics.json", "expected.npz"} <= set(manifest.files)
    assert all(measurement.samples >= 1 for measurement in manifest.evaluation.values())
    assert manifest.evaluation


def test_ready_within_3_seconds_under_200_mb_without_torch(digits: Trained, tmp_path: Path) -> None:
    with running_server(digits.store, tmp_path / "state") as server:
        assert server.ready_after < 3.0
        status = Path(f"/proc/{server.pid}/status").read_text()
        resident_kb = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        assert resident_kb < 200_000
        assert "torch" not in Path(f"/proc/{server.pid}/maps").read_text()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
async def test_identity(digits_server: ServerProcess, precision: str) -> None:
    """64 concurrent single images over each transport are the rows of one request, byte for byte."""
    async with (
        httpx.AsyncClient(base_url=digits_server.http, timeout=60) as http,
        grpc.aio.insecure_channel(digits_server.grpc) as channel,
    ):
        stub = GenerationStub(channel)

        async def over_http(seed: int, n: int) -> bytes:
            body = {"seed": seed, "n": n, "precision": precision, "format": "raw"}
            return (await http.post("/v1/samples", json=body)).content

        async def over_grpc(seed: int) -> bytes:
            wanted = Precision.Value(f"PRECISION_{precision.upper()}")
            return (await stub.Sample(SampleRequest(seed=seed, precision=wanted))).images[0].data

        together = await over_http(5000, 64)
        rows = [together[i * 64 : (i + 1) * 64] for i in range(64)]
        assert await asyncio.gather(*(over_http(5000 + i, 1) for i in range(64))) == rows
        assert await asyncio.gather(*(over_grpc(5000 + i) for i in range(64))) == rows

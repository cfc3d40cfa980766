"""The order of a stop: not ready first, then nothing new, and what is in flight is finished."""

import asyncio
import os
import signal
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runtime.store import DirectoryStore
from tests.kit.server import running_server
from tests.kit.tiny_package import publish_tiny


async def test_a_server_that_stops_says_so_before_it_refuses(store: DirectoryStore, tmp_path: Path) -> None:
    publish_tiny(store, delay=20, precisions=("fp32",))
    arguments = ("--drain-notice-seconds", "1", "--inference-threads", "1")
    with running_server(store.root, tmp_path / "state", *arguments) as server:
        async with (
            httpx.AsyncClient(base_url=server.http, timeout=30) as http,
            grpc.aio.insecure_channel(server.grpc) as channel,
        ):
            assert (await http.get("/readyz")).status_code == 200
            in_flight = asyncio.ensure_future(http.post("/v1/samples", json={"n": 900, "format": "raw"}))
            await asyncio.sleep(0.1)
            os.kill(server.pid, signal.SIGTERM)
            await asyncio.sleep(0.2)
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()["reason"]) == (503, "the server is shutting down")
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await http.get("/livez")).status_code == 200
            late = await http.post("/v1/samples", json={"n": 1, "format": "raw"})
            assert late.status_code == 200, "load balancers have not all heard of it yet"
            assert (await in_flight).status_code == 200
        assert server.process.wait(15) == 0

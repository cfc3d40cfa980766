"""The gRPC server in-process, on a free loopback port."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from runtime.store import DirectoryStore
from service.engine import Engine
from service.grpc_api.server import GrpcServer
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from tests.kit.tiny_package import publish_tiny
from tests.unit.service.parts import running_engine


@dataclass(frozen=True)
class Running:
    """A server and a channel to it."""

    engine: Engine
    lifecycle: Lifecycle
    server: GrpcServer
    keys: KeyFile
    address: str
    channel: grpc.aio.Channel


@pytest.fixture(scope="session")
def wordy_store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """``tiny@1``, ``plain@1``, and ``wordy@1`` with long class names outside ASCII."""
    store = DirectoryStore(tmp_path_factory.mktemp("wordy") / "models")
    publish_tiny(store)
    publish_tiny(store, "plain", classes=(), precisions=("fp32",))
    publish_tiny(store, "wordy", classes=[f"猫{i}" * 60 for i in range(30)], precisions=("fp32",))
    return store


@pytest.fixture
async def running(wordy_store: DirectoryStore, metrics: Metrics, tmp_path: Path) -> AsyncIterator[Running]:
    async with running_engine(wordy_store, metrics, default_model="tiny") as engine:
        lifecycle, keys = Lifecycle(engine.registry), KeyFile(tmp_path)
        server = GrpcServer(engine, lifecycle, metrics, keys, max_body_bytes=1 << 20)
        address = f"127.0.0.1:{server.bind('127.0.0.1', 0)}"
        await server.start()
        async with grpc.aio.insecure_channel(address) as channel:
            yield Running(engine, lifecycle, server, keys, address, channel)
        await server.stop(0)

"""One server for the whole folder: a conditional grey model and an unconditional colour one."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from runtime.store import DirectoryStore
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root: Path = tmp_path_factory.mktemp("wire")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "tiny")
    publish_tiny(store, "plain", classes=(), channels=3, size=16, latent_dim=8)
    with running_server(store.root, root / "state", "--default-model", "tiny", "--max-images", "256") as process:
        yield process


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.http, timeout=30) as client:
        yield client


@pytest.fixture
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc) as opened:
        yield opened

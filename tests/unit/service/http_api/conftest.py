"""The HTTP application in-process, over ASGI."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from runtime.store import DirectoryStore
from service.http_api.application import create_application
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from tests.unit.service.parts import running_engine

MAX_BODY = 1 << 20


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path)


@pytest.fixture
async def client(shared_store: DirectoryStore, metrics: Metrics, keys: KeyFile) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that serves ``tiny`` (the default) and ``plain``."""
    async with running_engine(shared_store, metrics, default_model="tiny") as engine:
        application = create_application(engine, Lifecycle(engine.registry), metrics, keys, max_body_bytes=MAX_BODY)
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            yield client

"""Parts that are costly to build and that no test changes."""

from pathlib import Path

import pytest

from runtime.manifest import Manifest
from runtime.package import Package
from runtime.store import DirectoryStore
from service.metrics import Metrics
from tests.kit.tiny_package import publish_tiny
from tests.unit.service.parts import new_metrics


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """``tiny@1`` (ten classes, fp32 and int8) and ``plain@1`` (no classes, fp32); read only."""
    store = DirectoryStore(tmp_path_factory.mktemp("shared") / "models")
    publish_tiny(store)
    publish_tiny(store, "plain", classes=(), precisions=("fp32",))
    return store


@pytest.fixture(scope="session")
def package(shared_store: DirectoryStore) -> Package:
    """``tiny@1``: ten classes, 16 latent numbers, 8×8×1 pixels."""
    return shared_store.open("tiny", 1)


@pytest.fixture(scope="session")
def manifest(package: Package) -> Manifest:
    """The manifest of ``tiny@1``."""
    return package.manifest


@pytest.fixture(scope="session")
def plain(shared_store: DirectoryStore) -> Manifest:
    """The manifest of ``plain@1``, which has no classes."""
    return shared_store.open("plain", 1).manifest


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of the test's own."""
    return new_metrics()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that does not exist yet."""
    return tmp_path / "state"

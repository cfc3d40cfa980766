"""Fixtures that more than one folder of tests uses."""

from pathlib import Path

import pytest

from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store of the test's own."""
    return DirectoryStore(tmp_path / "models")


@pytest.fixture
def tiny_store(store: DirectoryStore) -> DirectoryStore:
    """A store with ``tiny@1``: ten classes, 8×8 grey, fp32 and int8. The test may do with it what it likes."""
    publish_tiny(store)
    return store

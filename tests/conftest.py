"""Fixtures that more than one folder of tests uses, and the same random numbers for a test whatever ran before it."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny

_SEED = 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before its fixtures are made: a test that draws from the global generators draws the same in any order."""
    random.seed(_SEED)
    np.random.seed(_SEED)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(_SEED)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    """An empty store of the test's own."""
    return DirectoryStore(tmp_path / "models")


@pytest.fixture
def tiny_store(store: DirectoryStore) -> DirectoryStore:
    """A store with ``tiny@1``: ten classes, 8×8 grey, fp32 and int8. The test may do with it what it likes."""
    publish_tiny(store)
    return store

"""A trained package for tests that publish new versions of it."""

import shutil
from pathlib import Path

import pytest

from runtime.package import Package
from runtime.store import DirectoryStore
from tests.unit.trainer.runs import TINY
from trainer.training import TrainRequest, train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with ``digits-cgan@1``, trained for a second, fp32 alone; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    settings = (*TINY, "budget.images=640", "export.precisions=[fp32]")
    train(TrainRequest("digits-cgan", folder / "run", folder / "models", settings, None, ""), print)
    return folder / "models"


@pytest.fixture
def models(trained: Path, tmp_path: Path) -> DirectoryStore:
    """A copy of that store, of the test's own."""
    shutil.copytree(trained, tmp_path / "models")
    return DirectoryStore(tmp_path / "models")


@pytest.fixture
def package(models: DirectoryStore) -> Package:
    """``digits-cgan@1`` of that copy."""
    return models.open("digits-cgan", 1)

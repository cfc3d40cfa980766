"""The default recipe, trained once for the whole folder by the command a user types."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit.server import LATENTD, ServerProcess, running_server


@dataclass(frozen=True)
class Trained:
    """What `latentd train digits-cgan` left: its run folder, its store, and the seconds the command took."""

    run: Path
    store: Path
    seconds: float


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("digits")
    run, store = root / "run", root / "models"
    start = time.monotonic()
    subprocess.run([LATENTD, "train", "digits-cgan", "--run", run, "--store", store], check=True, timeout=280)
    return Trained(run, store, time.monotonic() - start)


@pytest.fixture(scope="session")
def digits_server(digits: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    state = tmp_path_factory.mktemp("digits-state")
    with running_server(digits.store, state, "--max-images", "2048") as server:
        yield server

"""Versions come and go under traffic: no request fails, answers are whole and of one version, nothing stays behind."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

from runtime.generator import Generator
from runtime.store import DirectoryStore
from tests.kit.processes import resident_mib, wait_for
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

SWAPS = [pytest.param(15, id="fifteen"), pytest.param(50, id="fifty", marks=pytest.mark.slow)]
CYCLES = [pytest.param(50, id="fifty"), pytest.param(200, id="two-hundred", marks=pytest.mark.slow)]
CLIENTS, ROWS = 4, 3
SEEDS = np.arange(7, 7 + ROWS, dtype=np.uint64)
BODY = {"model": "tiny", "seed": 7, "n": ROWS, "format": "raw", "precision": "fp32"}


@contextmanager
def traffic(http: str) -> Iterator[list[tuple[int, str, bytes]]]:
    """Clients that ask without a pause: status, reference and content of every answer."""
    answers: list[tuple[int, str, bytes]] = []
    over = threading.Event()

    def client() -> None:
        with httpx.Client(base_url=http, timeout=30) as session:
            while not over.is_set():
                answer = session.post("/v1/samples", json=BODY)
                answers.append((answer.status_code, answer.headers.get("X-Latentd-Model", ""), answer.content))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    made = DirectoryStore(tmp_path / "models")
    publish_tiny(made, variant=0, precisions=("fp32",))
    return made


@pytest.fixture
def server(store: DirectoryStore, tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(store.root, tmp_path / "state", "--poll-seconds", "0") as running:
        yield running


def load(http: str, name: str = "tiny") -> None:
    assert httpx.post(f"{http}/v2/repository/models/{name}/load", timeout=30).status_code == 200


@pytest.mark.parametrize("swaps", SWAPS)
def test_versions_in_a_row(store: DirectoryStore, server: ServerProcess, swaps: int) -> None:
    with traffic(server.http) as answers:
        for variant in range(1, swaps + 1):
            publish_tiny(store, variant=variant, precisions=("fp32",))
            load(server.http)
        wait_for(lambda: answers[-1][1] == f"tiny@{swaps + 1}", what="an answer of the last version")
    assert {status for status, _, _ in answers} == {200}
    expected = {
        f"tiny@{version}": Generator(store.open("tiny", version), "fp32").sample(SEEDS).tobytes()
        for version in range(1, swaps + 2)
    }
    assert len(set(expected.values())) == swaps + 1
    assert [reference for _, reference, content in answers if content != expected[reference]] == []
    seen = {reference for _, reference, _ in answers}
    assert len(seen) > swaps / 2
    assert f"tiny@{swaps + 1}" in seen


@pytest.mark.parametrize("cycles", CYCLES)
def test_loading_and_unloading_leaves_nothing(store: DirectoryStore, server: ServerProcess, cycles: int) -> None:
    publish_tiny(store, "other", precisions=("fp32", "int8"))
    after_ten = 0.0
    for cycle in range(cycles):
        load(server.http, "other")
        assert httpx.post(f"{server.http}/v1/samples", json={**BODY, "model": "other"}).status_code == 200
        assert httpx.post(f"{server.http}/v2/repository/models/other/unload", timeout=30).status_code == 200
        if cycle == 9:
            after_ten = resident_mib(server.pid)
    assert resident_mib(server.pid) - after_ten < 20
    assert httpx.post(f"{server.http}/v1/samples", json=BODY).status_code == 200

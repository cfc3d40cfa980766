"""A stream of 100,000 images: the first at once, all of them right, in memory that does not grow with their number."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from runtime.generator import Generator
from runtime.latents import labels_from_seeds
from runtime.store import DirectoryStore
from tests.kit.processes import resident_mib
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny
from tests.wire.test_streams import pixels

N = 100_000
LOOKED_AT = range(0, N, 9_973)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    made = DirectoryStore(tmp_path_factory.mktemp("streams") / "models")
    publish_tiny(made, precisions=("fp32",))
    return made


@pytest.fixture(scope="module")
def streaming(store: DirectoryStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(store.root, tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.mark.slow
def test_a_hundred_thousand_images(streaming: ServerProcess, store: DirectoryStore) -> None:
    body = {"n": N, "seed": 5, "stream": True, "priority": "bulk"}
    httpx.post(f"{streaming.http}/v1/samples", json={**body, "n": 2_000}, timeout=60)
    idle = resident_mib(streaming.pid)
    most, first, seen = idle, float("inf"), 0
    found: dict[int, str] = {}
    begin = time.perf_counter()
    request = httpx.stream(
        "POST",
        f"{streaming.http}/v1/samples",
        json=body,
        headers={"Accept": "application/x-ndjson"},
        timeout=httpx.Timeout(60),
    )
    with request as answer:
        assert answer.status_code == 200
        for number, line in enumerate(answer.iter_lines()):
            if number == 0:
                first = time.perf_counter() - begin
            if number % 1_000 == 0:
                most = max(most, resident_mib(streaming.pid))
            if number in LOOKED_AT:
                image = json.loads(line)
                assert (image["index"], image["seed"]) == (number, 5 + number)
                found[number] = image["b64_json"]
            seen = number
    seconds = time.perf_counter() - begin
    print(f"{N / seconds:,.0f} images/s, first after {first * 1e3:.0f} ms, {most - idle:.0f} MiB above idle")
    assert seen == N  # images 0 … N - 1, and the last line, which says that it is the last
    seeds = np.array([5 + number for number in LOOKED_AT], dtype=np.uint64)
    package = store.open("tiny", 1)
    expected = Generator(package, "fp32").sample(seeds, labels_from_seeds(seeds, len(package.manifest.classes)))
    for image, number in zip(expected, LOOKED_AT, strict=True):
        assert np.array_equal(pixels(found[number]), image[..., 0])
    assert most - idle <= 50
    assert first <= 0.05


def test_more_than_a_stream_may_have_is_refused(streaming: ServerProcess) -> None:
    for n, stream, allowed in ((N + 1, True, "1 to 100000"), (1_025, False, "1 to 1024")):
        answer = httpx.post(f"{streaming.http}/v1/samples", json={"n": n, "stream": stream})
        assert (answer.status_code, allowed in answer.text) == (400, True)


def test_a_stream_outlives_the_time_of_a_single_request(store: DirectoryStore, tmp_path: Path) -> None:
    with running_server(store.root, tmp_path / "state", "--timeout-ms", "300") as server:
        body = {"n": 20_000, "stream": True}
        begin = time.perf_counter()
        lines = httpx.post(f"{server.http}/v1/samples", json=body, timeout=60).text.count("event: image\n")
        assert time.perf_counter() - begin > 0.3
        assert lines == 20_000
        cut = httpx.post(f"{server.http}/v1/samples", json={**body, "timeout_ms": 200}, timeout=60).text
        assert "event: error\n" in cut
        assert 0 < cut.count("event: image\n") < 20_000

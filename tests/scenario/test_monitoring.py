"""A real Prometheus scrapes a real server under load while a worker trains: every panel and rule finds its data."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import grpc
import httpx
import openai
import pytest
import yaml

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.keys import KeyFile
from tests.kit.deployed_queries import DEPLOY, RULES
from tests.kit.image_sets import digits as digit_images
from tests.kit.image_sets import write_npz
from tests.kit.prometheus_check import ask, without_data
from tests.kit.server import ServerProcess, running_server, start_latentd
from tests.scenario.conftest import Trained

LOAD_S = 60.0
MODEL = "digits-cgan"


@contextmanager
def prometheus(folder: Path, target: str, key: str) -> Iterator[str]:
    """Prometheus with the shipped configuration, its target, paths and pace changed; yields its address."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("needs prometheus: apt-get install prometheus")
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(path) for path in RULES]
    scrape = config["scrape_configs"][0]
    scrape["static_configs"][0]["targets"] = [target]
    scrape["authorization"]["credentials_file"] = str(folder / "key")
    (folder / "key").write_text(f"{key}\n")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = _free_port()
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def mixed_load(server: ServerProcess, key: str, over: Callable[[], bool]) -> None:
    """Good and bad requests over every API, at least for `LOAD_S` and until `over`."""
    end = time.monotonic() + LOAD_S
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=server.http, headers=headers, timeout=30) as http,
        grpc.insecure_channel(server.grpc) as channel,
        ThreadPoolExecutor(8) as pool,
    ):
        stub = GenerationStub(channel)
        sample = partial(http.post, "/v1/samples")
        while time.monotonic() < end or not over():
            list(pool.map(lambda seed: sample(json={"model": MODEL, "n": 5, "seed": seed}), range(32)))
            http.post("/v1/images/generations", json={"model": MODEL, "prompt": "3"})
            sample(json={"model": MODEL, "n": 0})
            sample(json={"model": MODEL, "n": 64, "timeout_ms": 1})
            with suppress(grpc.RpcError):
                stub.Sample(SampleRequest(model=MODEL, n=2), metadata=(("authorization", f"Bearer {key}"),))


@contextmanager
def worker(store: Path, state: Path) -> Iterator[None]:
    """`latentd worker` beside the server, which leaves it the jobs; it must stop with exit code 0."""
    process = start_latentd("worker", "--store", str(store), "--state", str(state), log=state / "worker.log")
    try:
        yield
    finally:
        process.terminate()
        code = process.wait(60)
    assert code == 0, (state / "worker.log").read_text()


def submit_fine_tuning(client: openai.OpenAI, folder: Path) -> str:
    """A job of half a minute, on dark digits; its id."""
    folder.mkdir()
    archive = write_npz(folder / "dark.npz", digit_images((3, 7), 200, inverted=True))
    file = client.files.create(file=archive, purpose="fine-tune")
    return client.fine_tuning.jobs.create(
        model=MODEL, training_file=file.id, suffix="dark", extra_body={"config": {"max_minutes": 0.5}}
    ).id


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_expression_returns_data(digits: Trained, tmp_path: Path) -> None:
    shutil.copytree(digits.store, tmp_path / "models")
    store, state = DirectoryStore(tmp_path / "models"), tmp_path / "state"
    (store.root / "broken" / "1").mkdir(parents=True)
    (store.root / "broken" / "1" / "manifest.json").write_text("{}")
    key = KeyFile(state).create("prometheus", scopes=("sample", "train"))
    with (
        running_server(store.root, state, "--job-slots", "0") as server,
        worker(store.root, state),
        prometheus(tmp_path, server.http.removeprefix("http://"), key) as address,
        openai.OpenAI(base_url=f"{server.http}/v1", api_key=key, max_retries=0) as client,
    ):
        job = submit_fine_tuning(client, tmp_path / "images")
        mixed_load(server, key, lambda: client.fine_tuning.jobs.retrieve(job).finished_at is not None)
        trained = ask(address, "max(latentd_job_step) > 0")  # whether half a minute made it good is another test's
        assert trained, client.fine_tuning.jobs.retrieve(job).error
        assert without_data(address) == []
        alerts = httpx.get(f"{address}/api/v1/alerts").json()["data"]["alerts"]
        assert {alert["labels"]["alertname"] for alert in alerts} == {"LatentdPackageRefused"}

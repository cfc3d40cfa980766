"""A real Prometheus scrapes a real server under load: every panel and every rule finds the data it asks for."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import promql_parser
import pytest
import yaml

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.keys import KeyFile
from tests.kit.deployed_queries import DEPLOY, RULES, dashboard_queries, rule_queries, rules
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

LOAD_S = 12.0
NEEDS_A_GPU = "latentd_gpu_"


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


def ask(address: str, expr: str) -> list[Any]:
    """The result of an instant query."""
    answer = httpx.get(f"{address}/api/v1/query", params={"query": expr}).json()
    assert answer["status"] == "success", f"{expr}: {answer.get('error')}"
    found: list[Any] = answer["data"]["result"]
    return found


def mixed_load(server: ServerProcess, key: str, seconds: float) -> None:
    """Good and bad requests over every API."""
    end = time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=server.http, headers=headers, timeout=30) as http,
        grpc.insecure_channel(server.grpc) as channel,
        ThreadPoolExecutor(8) as pool,
    ):
        stub = GenerationStub(channel)
        while time.monotonic() < end:
            list(pool.map(lambda seed: http.post("/v1/samples", json={"n": 5, "seed": seed}), range(16)))
            http.post("/v1/images/generations", json={"prompt": "3"})
            http.post("/v1/samples", json={"n": 0})
            http.post("/v1/samples", json={"n": 64, "timeout_ms": 1})
            with suppress(grpc.RpcError):
                stub.Sample(SampleRequest(n=2), metadata=(("authorization", f"Bearer {key}"),))


@pytest.mark.slow
def test_every_expression_returns_data(store: DirectoryStore, tmp_path: Path) -> None:
    publish_tiny(store)
    (store.root / "broken" / "1").mkdir(parents=True)
    (store.root / "broken" / "1" / "manifest.json").write_text("{}")
    state = tmp_path / "state"
    key = KeyFile(state).create("prometheus")
    with (
        running_server(store.root, state) as server,
        prometheus(tmp_path, server.http.removeprefix("http://"), key) as address,
    ):
        mixed_load(server, key, LOAD_S)
        empty = [
            query.where
            for query in dashboard_queries()
            if NEEDS_A_GPU not in query.expr and not ask(address, query.expr)
        ]
        assert empty == []
        recorded = [rule["record"] for rule in rules() if "record" in rule]
        assert [name for name in recorded if not ask(address, name)] == []
        for query in rule_queries():
            ask(address, query.expr)
            assert [name for name in selectors(query.expr) if NEEDS_A_GPU not in name and not ask(address, name)] == []
        alerts = httpx.get(f"{address}/api/v1/alerts").json()["data"]["alerts"]
        assert {alert["labels"]["alertname"] for alert in alerts} == {"LatentdPackageRefused"}


def selectors(expr: str) -> list[str]:
    """What an expression selects; without the codes of failures, of which there are none here."""
    found: list[str] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            kept = [matcher for matcher in node.matchers.matchers if matcher.name != "code"]
            found.append(f"{node.name}{{{','.join(map(str, kept))}}}")

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found

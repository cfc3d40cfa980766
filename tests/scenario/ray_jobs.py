"""Jobs on a Ray cluster of two nodes; run by `test_ray.py` where the network is a loopback of its own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runtime.store import DirectoryStore
from tests.kit.data_sets import contents
from tests.kit.processes import processes_with, wait_for
from tests.kit.ray_cluster import ADDRESS, TOKEN, RayCluster, running_cluster
from tests.kit.server import ServerProcess, running_server, start_latentd
from tests.kit.tiny_package import publish_tiny
from tests.scenario.test_job_faults import BODY, LEASE, check_result, events, finish, job, submit

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    with running_cluster(tmp_path_factory.mktemp("ray")) as running:
        yield running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    made = DirectoryStore(tmp_path_factory.mktemp("store") / "models")
    publish_tiny(made, delay=150, precisions=("fp32",))
    return made


@pytest.fixture(scope="module")
def expected(store: DirectoryStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("expected") / "out"
    options = ["--per-class", "60", "--format", "webdataset", "--shard-size", "50", "--seed", "3"]
    log = out.with_suffix(".log")
    process = start_latentd("synthesize", "tiny", "--store", str(store.root), "--out", str(out), *options, log=log)
    assert process.wait(PATIENCE_S) == 0, log.read_text()
    return contents(out)


@pytest.fixture
def server(cluster: RayCluster, store: DirectoryStore, tmp_path: Path) -> Iterator[ServerProcess]:
    arguments = (*LEASE, "--job-runner", "ray", "--ray-address", ADDRESS)
    with running_server(store.root, tmp_path / "state", *arguments, env={"LATENTD_RAY_TOKEN": TOKEN}) as running:
        yield running


def pid_of(job_id: str) -> int:
    """The job's own process, once there is one."""
    wait_for(lambda: workers(job_id), PATIENCE_S, what=f"the process of {job_id}")
    return workers(job_id)[0]


def workers(job_id: str) -> list[int]:
    return processes_with(f"data_set_process {job_id}") or [
        pid for pid in processes_with(job_id) if pid in processes_with("data_set_process")
    ]


def test_a_job_ends_in_the_same_bytes(server: ServerProcess, expected: dict[str, bytes]) -> None:
    job_id = submit(server.http)
    finish(server.http, job_id)
    check_result(server.http, job_id, expected)


def test_cancelling_ends_the_process(server: ServerProcess) -> None:
    job_id = submit(server.http)
    pid_of(job_id)
    assert httpx.post(f"{server.http}/v1/datasets/{job_id}/cancel").json()["status"] == "cancelled"
    wait_for(lambda: job(server.http, job_id)["state"] == "cancelled", PATIENCE_S)
    wait_for(lambda: not workers(job_id), PATIENCE_S, what="the end of its process")


def test_the_loss_of_its_node_is_survived_by_another_attempt(
    server: ServerProcess, cluster: RayCluster, expected: dict[str, bytes]
) -> None:
    job_id = submit(server.http)
    node = cluster.node_of(pid_of(job_id))
    cluster.kill(node)
    wait_for(lambda: job(server.http, job_id)["attempt"] == 2, PATIENCE_S, what="a second attempt")
    finish(server.http, job_id)
    check_result(server.http, job_id, expected)
    cluster.add_node()


def test_paused_on_one_node_it_goes_on_where_it_was_on_another(
    server: ServerProcess, cluster: RayCluster, expected: dict[str, bytes]
) -> None:
    job_id = submit(server.http)
    path = f"{server.http}/v1/datasets/{job_id}"
    node = cluster.node_of(pid_of(job_id))
    wait_for(lambda: rows_seen(path) > 0, PATIENCE_S, what="its progress")
    assert httpx.post(f"{path}/pause").status_code == 200
    wait_for(lambda: job(server.http, job_id)["state"] == "paused", PATIENCE_S, what="its pause")
    assert not workers(job_id)
    cluster.kill(node)
    assert httpx.post(f"{path}/resume").status_code == 200
    assert cluster.node_of(pid_of(job_id)) is not node
    finish(server.http, job_id)
    check_result(server.http, job_id, expected)
    begun = [event["data"]["rows"] for event in events(server.http, job_id) if event["type"] == "started"]
    assert len(begun) == 2 and begun[0] == 0 < begun[1]
    cluster.add_node()


def rows_seen(path: str) -> int:
    """Images that the job at `path` has told of."""
    told = httpx.get(f"{path}/events", params={"limit": 100}).json()["data"]
    return max((event["data"]["rows"] for event in told if event["type"] == "progress"), default=0)


def test_a_wrong_token_is_said(store: DirectoryStore, cluster: RayCluster, tmp_path: Path) -> None:
    arguments = (*LEASE, "--job-runner", "ray", "--ray-address", ADDRESS)
    with running_server(store.root, tmp_path / "state", *arguments, env={"LATENTD_RAY_TOKEN": "0" * 32}) as server:
        submit(server.http)
        wait_for(lambda: "refuses the token (setting ray_token)" in server.log.read_text(), PATIENCE_S)
        assert "0" * 32 not in server.log.read_text()


def test_the_body_is_that_of_the_faults() -> None:
    assert (BODY["n_per_class"], BODY["format"], BODY["shard_size"], BODY["seed"]) == (60, "webdataset", 50, 3)

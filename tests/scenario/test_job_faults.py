"""Jobs under fault: processes, workers and servers killed at random moments, a locked database, a full disk.

After each: the job is there, it ends once, its result is the one of an undisturbed run, no process is left over, and
the store loads. Few rounds here; the slow ones repeat them.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.store import DirectoryStore
from tests.kit.data_sets import contents
from tests.kit.postgres import NoPostgres, running_postgres
from tests.kit.processes import is_running, processes_with, wait_for
from tests.kit.server import ServerProcess, running_server, start_latentd
from tests.kit.tiny_package import publish_tiny

BODY = {"model": "tiny", "n_per_class": 60, "format": "webdataset", "shard_size": 50, "seed": 3}
LEASE = ("--job-lease-seconds", "2")
FEW = pytest.param(2, id="few")
MANY = pytest.param(10, id="many", marks=pytest.mark.slow)
rounds = pytest.mark.parametrize("repeats", [FEW, MANY])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """A package that takes its time: a data set of it is killed half-way."""
    made = DirectoryStore(tmp_path_factory.mktemp("faults") / "models")
    publish_tiny(made, delay=30, precisions=("fp32",))
    return made


@pytest.fixture(scope="module")
def expected(store: DirectoryStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an undisturbed run of the command line."""
    out = tmp_path_factory.mktemp("expected") / "out"
    options = ["--per-class", "60", "--format", "webdataset", "--shard-size", "50", "--seed", "3"]
    log = out.with_suffix(".log")
    process = start_latentd("synthesize", "tiny", "--store", str(store.root), "--out", str(out), *options, log=log)
    assert process.wait(120) == 0, log.read_text()
    return contents(out)


def submit(http: str, **changes: object) -> str:
    answer = httpx.post(f"{http}/v1/datasets", json={**BODY, **changes}, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def job(http: str, job_id: str) -> dict[str, Any]:
    answer = httpx.get(f"{http}/v1/datasets/{job_id}", timeout=30)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(http: str, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        parameters = {"limit": "1000", **({"after": after} if after else {})}
        page = httpx.get(f"{http}/v1/datasets/{job_id}/events", params=parameters, timeout=30).json()
        found += page["data"]
        if not page["has_more"]:
            return found[::-1]
        after = page["last_id"]


def is_over(http: str, job_id: str) -> bool:
    return job(http, job_id)["state"] in ("succeeded", "failed", "cancelled")


def finish(http: str, job_id: str) -> dict[str, Any]:
    wait_for(lambda: is_over(http, job_id), 90.0, what=f"the end of {job_id}")
    return job(http, job_id)


def check_result(http: str, job_id: str, expected: dict[str, bytes]) -> None:
    """The job ended once, well, with the very bytes; its events have no gap."""
    found = job(http, job_id)
    said = events(http, job_id)
    assert found["status"] == "succeeded", said[-1]
    assert [event["sequence"] for event in said] == list(range(1, len(said) + 1))
    assert sum(event["message"].startswith("succeeded") for event in said) == 1
    made = {}
    for file_id in found["files"]:
        name = httpx.get(f"{http}/v1/files/{file_id}").json()["filename"]
        made[name] = httpx.get(f"{http}/v1/files/{file_id}/content").content
    assert made == expected


def process_of(state: Path, job_id: str) -> int | None:
    try:
        return int(json.loads((state / "jobs" / job_id / "process.json").read_bytes())["pid"])
    except (OSError, ValueError):
        return None


def wait_until_half_way(state: Path, job_id: str, parts: int, over: Callable[[], bool] = lambda: False) -> None:
    """Until so many parts of the data set are journaled, or the job is past that; `over` tells of one that may have
    ended before, whose folder is gone."""
    journal = state / "jobs" / job_id / "dataset" / ".synthesis" / "journal.jsonl"
    began = (state / "jobs" / job_id).exists

    def there() -> bool:
        return journal.exists() and journal.read_bytes().count(b'"part"') >= parts

    wait_for(lambda: began() or over(), what="the job's folder")
    wait_for(lambda: there() or not began(), 60.0, what="its parts")


def no_orphans(state: Path) -> None:
    wait_for(lambda: not processes_with(str(state / "jobs")), what="the end of all processes")


@contextmanager
def killed_server(store: DirectoryStore, state: Path, *args: str) -> Iterator[ServerProcess]:
    """A server that the test kills itself."""
    try:
        with running_server(store.root, state, *LEASE, *args) as server:
            yield server
    except AssertionError as error:
        if "exit code is -9" not in str(error):
            raise


def kill(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@rounds
def test_a_killed_process_goes_on(
    store: DirectoryStore, tmp_path: Path, expected: dict[str, bytes], repeats: int
) -> None:
    chance = random.Random(repeats)
    state = tmp_path / "state"
    with running_server(store.root, state, *LEASE) as server:
        for _ in range(repeats):
            job_id = submit(server.http)
            wait_until_half_way(state, job_id, chance.randrange(0, 9))
            time.sleep(chance.random() * 0.2)
            pid = process_of(state, job_id)
            if pid is not None and is_running(pid):
                os.kill(pid, signal.SIGKILL)
            finish(server.http, job_id)
            check_result(server.http, job_id, expected)
    no_orphans(state)


@rounds
def test_a_killed_server_comes_back_and_goes_on(
    store: DirectoryStore, tmp_path: Path, expected: dict[str, bytes], repeats: int
) -> None:
    chance = random.Random(repeats)
    state = tmp_path / "state"
    made: list[str] = []
    for _ in range(repeats):
        with killed_server(store, state) as server:
            made.append(submit(server.http))
            wait_until_half_way(state, made[0], chance.randrange(0, 9))
            time.sleep(chance.random() * 0.3)
            pid = process_of(state, made[0])
            kill(server.process)
        if pid is not None:
            wait_for(lambda pid=pid: not is_running(pid), what="the end of the process with its server")  # type: ignore[misc]
        no_orphans(state)
    with running_server(store.root, state, *LEASE) as server:
        for job_id in made:
            finish(server.http, job_id)
            check_result(server.http, job_id, expected)
    no_orphans(state)
    assert list((state / "jobs").iterdir()) == []


@rounds
def test_server_and_process_killed_together(
    store: DirectoryStore, tmp_path: Path, expected: dict[str, bytes], repeats: int
) -> None:
    chance = random.Random(repeats + 1)
    for number in range(repeats):
        state = tmp_path / f"state{number}"
        with killed_server(store, state) as server:
            job_id = submit(server.http)
            wait_until_half_way(state, job_id, chance.randrange(1, 8))
            pid = process_of(state, job_id)
            order = [server.pid, pid] if chance.random() < 0.5 else [pid, server.pid]
            for target in order:
                if target is not None and is_running(target):
                    os.kill(target, signal.SIGKILL)
            server.process.wait()
        with running_server(store.root, state, *LEASE) as server:
            finish(server.http, job_id)
            check_result(server.http, job_id, expected)
        no_orphans(state)


@rounds
def test_a_server_that_is_restarted_in_order_goes_on_without_a_failure(
    store: DirectoryStore, tmp_path: Path, expected: dict[str, bytes], repeats: int
) -> None:
    state = tmp_path / "state"
    with running_server(store.root, state, *LEASE) as server:
        job_id = submit(server.http)
        wait_until_half_way(state, job_id, 1)
    for parts in range(2, repeats + 1):
        with running_server(store.root, state, *LEASE):
            wait_until_half_way(state, job_id, parts)
        no_orphans(state)
    with running_server(store.root, state, *LEASE) as server:
        finish(server.http, job_id)
        check_result(server.http, job_id, expected)
        assert not [event for event in events(server.http, job_id) if event["level"] != "info"]


@rounds
def test_a_killed_worker_is_replaced_by_another(
    store: DirectoryStore, tmp_path: Path, expected: dict[str, bytes], repeats: int
) -> None:
    """The server runs nothing itself; its process lives, the workers come and go."""
    chance = random.Random(repeats)
    state = tmp_path / "state"
    arguments = ("worker", "--store", str(store.root), "--state", str(state), *LEASE)
    with running_server(store.root, state, *LEASE, "--job-slots", "0") as server:
        job_id = submit(server.http)
        time.sleep(0.5)
        assert job(server.http, job_id)["status"] == "queued"
        for number in range(repeats):
            worker = start_latentd(*arguments, log=tmp_path / f"worker{number}.log")
            wait_until_half_way(state, job_id, min(10, number + chance.randrange(1, 3)))
            kill(worker)
            no_orphans(state)
        worker = start_latentd(*arguments, log=tmp_path / "last.log")
        finish(server.http, job_id)
        check_result(server.http, job_id, expected)
        worker.terminate()
        assert worker.wait(20) == 0, (tmp_path / "last.log").read_text()
    no_orphans(state)


@rounds
def test_cancelled_at_any_moment(store: DirectoryStore, tmp_path: Path, repeats: int) -> None:
    """While it starts, runs or publishes: it is cancelled and leaves nothing, or it was too late and it succeeds."""
    chance = random.Random(repeats)
    state = tmp_path / "state"
    with running_server(store.root, state, *LEASE) as server:
        for number in range(3 * repeats):
            job_id = submit(server.http, n_per_class=5)
            moment = ("starting", "running", "exporting")[number % 3]
            if moment == "running":
                wait_until_half_way(state, job_id, 0)
                time.sleep(chance.random() * 0.5)
            elif moment == "exporting":
                wait_for(lambda job_id=job_id: _publishing(state, job_id) or is_over(server.http, job_id))  # type: ignore[misc]
            answer = httpx.post(f"{server.http}/v1/datasets/{job_id}/cancel")
            found = finish(server.http, job_id)
            if answer.status_code == 200:
                assert (answer.json()["status"], found["status"], found["files"]) == ("cancelled", "cancelled", [])
            else:
                assert (answer.status_code, found["status"]) == (409, "succeeded")
            wait_for(lambda job_id=job_id: not (state / "jobs" / job_id).exists())  # type: ignore[misc]
        assert httpx.get(f"{server.http}/v1/files", params={"purpose": "dataset"}).status_code == 200
    no_orphans(state)


def _publishing(state: Path, job_id: str) -> bool:
    return (state / "jobs" / job_id / "result.json").exists()


@rounds
def test_a_locked_database_is_answered_and_survived(
    store: DirectoryStore, tmp_path: Path, expected: dict[str, bytes], repeats: int
) -> None:
    state = tmp_path / "state"
    with running_server(store.root, state, "--job-lease-seconds", "30") as server:
        submitted = [submit(server.http)]
        for number in range(repeats):
            job_id = submitted[-1]
            wait_until_half_way(state, job_id, number, over=partial(is_over, server.http, job_id))
            if is_over(server.http, job_id):  # faster than the rounds
                job_id = submit(server.http)
                submitted.append(job_id)
            other = sqlite3.connect(state / "latentd.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            if number == 0:
                refused = httpx.post(f"{server.http}/v1/datasets", json=BODY, timeout=30)
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
                assert int(refused.headers["retry-after-ms"]) > 0
            assert job(server.http, job_id)["id"] == job_id  # reading goes on
            time.sleep(0.3)
            other.execute("ROLLBACK")
            other.close()
        for job_id in submitted:
            finish(server.http, job_id)
            check_result(server.http, job_id, expected)
            assert job(server.http, job_id)["attempt"] == 1
        assert len(httpx.get(f"{server.http}/v1/datasets").json()["data"]) == len(submitted)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@rounds
def test_a_full_disk_fails_the_job_and_not_the_server(store: DirectoryStore, small_disk: Path, repeats: int) -> None:
    state = small_disk / "state"
    with running_server(store.root, state, *LEASE, "--reserve-bytes", "0") as server:
        for _ in range(repeats):
            job_id = submit(server.http, n_per_class=8, format="npz", shard_size=None)
            ballast = small_disk / "ballast"
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(b"x" * 4096)
            sample = httpx.post(f"{server.http}/v1/samples", json={"n": 2})
            assert sample.status_code == 200
            assert httpx.post(f"{server.http}/v1/datasets", json=BODY, timeout=30).status_code in (200, 503)
            time.sleep(1.0)
            assert httpx.get(f"{server.http}/livez").status_code == 200
            ballast.unlink()
            found = finish(server.http, job_id)
            assert found["status"] in ("succeeded", "failed")
            if found["status"] == "failed":
                assert "space" in found["error"]["message"] or "disk" in found["error"]["message"]
        after = submit(server.http, n_per_class=8, format="npz", shard_size=None)
        assert finish(server.http, after)["status"] == "succeeded"
    no_orphans(state)


@rounds
def test_two_servers_on_one_postgresql_one_killed(
    store: DirectoryStore, tmp_path: Path, expected: dict[str, bytes], repeats: int
) -> None:
    try:
        with running_postgres() as url:
            _two_servers(store, tmp_path / "state", url, expected, repeats)
    except NoPostgres as error:
        pytest.skip(f"PostgreSQL: {error}")


def _two_servers(store: DirectoryStore, state: Path, url: str, expected: dict[str, bytes], repeats: int) -> None:
    """Both run jobs, with nothing in common but database and files; whichever has the job is killed, and started again
    when the other has done it."""
    chance = random.Random(repeats)
    files = ("--database", url, "--file-store", str(state / "files"))
    with ExitStack() as stack:
        running = {name: stack.enter_context(killed_server(store, state / name, *files)) for name in "ab"}
        for number in range(repeats):
            job_id = submit(running[chance.choice("ab")].http)
            holders: list[str] = []
            wait_for(lambda: _held_by(state, job_id, holders), what="a runner of the job")  # noqa: B023
            wait_until_half_way(state / holders[0], job_id, chance.randrange(1, 8))
            kill(running.pop(holders[0]).process)
            no_orphans(state / holders[0])
            [survivor] = running.values()
            finish(survivor.http, job_id)
            check_result(survivor.http, job_id, expected)
            assert job(survivor.http, job_id)["attempt"] == 2, number
            running[holders[0]] = stack.enter_context(killed_server(store, state / holders[0], *files))
    no_orphans(state)


def _held_by(state: Path, job_id: str, holders: list[str]) -> bool:
    """Whether a server has begun with the job; its name is put into `holders`."""
    holders[:] = [name for name in "ab" if (state / name / "jobs" / job_id).exists()]
    return bool(holders)

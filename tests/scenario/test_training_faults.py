"""Fine-tuning under fault: its process, its server, or both killed at random moments, its states damaged, its disk
full, itself cancelled.

After each: the job is there and ends once, its model is published once and serves, no process is left over, and the
store loads. `test_job_faults` has the same for jobs without training, in a few rounds for every day.
"""

import io
import os
import random
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from runtime.package import Package
from runtime.store import DirectoryStore
from tests.kit.image_sets import digits
from tests.kit.processes import is_running, wait_for
from tests.kit.server import ServerProcess, running_server
from tests.scenario.test_job_faults import (
    LEASE,
    killed_server,
    no_orphans,
    process_of,
    small_disk,
)
from tests.unit.trainer.finetune.conftest import base

__all__ = ["base", "small_disk"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

REPEATS = 10
MODEL, MINE = "digits-cgan", "digits-cgan-mine"
JOBS = "/v1/fine_tuning/jobs"
QUICK: dict[str, Any] = {
    "epochs": 12,
    "max_minutes": 60,
    "checkpoint_seconds": 0,
    "patience": 0,
    "precisions": ["fp32"],
    "require": [],
    "learning_rate_multiplier": 8,
    "rehearsal": 0,
}
PATIENCE_S = 120.0


def inverted_digits() -> bytes:
    """A hundred dark digits on white, in class folders."""
    images = digits(range(10), 100, inverted=True)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, (pixels, label) in enumerate(zip(images.images, images.labels, strict=True)):
            picture = io.BytesIO()
            Image.fromarray(pixels[..., 0]).save(picture, "PNG")
            archive.writestr(f"{images.class_names[label]}/{number:03d}.png", picture.getvalue())
    return file.getvalue()


class Workplace:
    """A store with the package that is fine-tuned, and the folder of a server's state."""

    def __init__(self, store: Path, state: Path) -> None:
        self.store, self.state = DirectoryStore(store), state

    @contextmanager
    def server(self) -> Iterator[ServerProcess]:
        with running_server(self.store.root, self.state, *LEASE, "--reserve-bytes", "0") as running:
            yield running

    @contextmanager
    def doomed_server(self) -> Iterator[ServerProcess]:
        with killed_server(self.store, self.state) as running:
            yield running

    def said(self, job_id: str) -> int:
        """Lines that the job's processes have written."""
        with suppress(OSError):
            return (self.state / "jobs" / job_id / "events.jsonl").read_bytes().count(b"\n")
        return 0

    def wait_a_while(self, http: str, job_id: str, chance: random.Random) -> None:
        """Until the job has said a few more things, or is over."""
        enough = self.said(job_id) + chance.randrange(1, 8)
        wait_for(lambda: self.said(job_id) >= enough or over(http, job_id), PATIENCE_S, what=f"words of {job_id}")
        time.sleep(chance.random() * 0.1)

    def check(self, http: str, jobs: list[str]) -> None:
        """Each job has ended well, once; each has one version, which loads and serves; nothing is left of the jobs."""
        references = []
        for job_id in jobs:
            wait_for(lambda job_id=job_id: over(http, job_id), 2 * PATIENCE_S, what=f"the end of {job_id}")  # type: ignore[misc]
            said = events(http, job_id)
            assert [event["sequence"] for event in said] == list(range(1, len(said) + 1))
            found = httpx.get(f"{http}{JOBS}/{job_id}").json()
            assert found["status"] == "succeeded", said[-1]
            assert sum(event["message"].startswith("succeeded") for event in said) == 1
            references.append(found["fine_tuned_model"])
        assert len(set(references)) == len(jobs)
        assert self.store.versions()[MINE] == list(range(1, len(jobs) + 1))
        for reference in references:
            name, _, version = reference.partition("@")
            self.store.open(name, int(version))
            body = {"model": reference, "n": 2, "format": "npy"}
            pixels = np.load(io.BytesIO(httpx.post(f"{http}/v1/samples", json=body, timeout=30).content))
            assert pixels.shape == (2, 8, 8, 1)
        wait_for(lambda: not any((self.state / "jobs").iterdir()), what="the end of the jobs' folders")
        no_orphans(self.state)


@pytest.fixture
def place(base: Package, tmp_path: Path) -> Workplace:
    store = DirectoryStore(tmp_path / "models")
    with store.stage() as staged:
        for file in base.path.iterdir():
            (staged / file.name).write_bytes(file.read_bytes())
        store.publish(MODEL, staged, lambda version: base.manifest.model_copy(update={"version": version}))
    return Workplace(store.root, tmp_path / "state")


def submit(http: str, **config: object) -> str:
    upload = {"file": ("inverted.zip", inverted_digits())}
    file = httpx.post(f"{http}/v1/files", files=upload, data={"purpose": "fine-tune"}, timeout=120).json()["id"]
    body = {"model": MODEL, "training_file": file, "suffix": "mine", "config": {**QUICK, **config}}
    answer = httpx.post(f"{http}{JOBS}", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def over(http: str, job_id: str) -> bool:
    return httpx.get(f"{http}{JOBS}/{job_id}", timeout=30).json()["finished_at"] is not None


def events(http: str, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    parameters: dict[str, str] = {"limit": "100"}
    while True:
        page = httpx.get(f"{http}{JOBS}/{job_id}/events", params=parameters, timeout=30).json()
        found += page["data"]
        if not page["has_more"]:
            return found[::-1]
        parameters["after"] = page["data"][-1]["id"]


def hurt_often(place: Workplace, hurt: Callable[[int], None]) -> list[str]:
    """`hurt` the process of a job again and again, each time a little later; begins another job where one is done."""
    chance, done, jobs = random.Random(REPEATS), 0, list[str]()
    with place.server() as server:
        while done < REPEATS:
            if not jobs or over(server.http, jobs[-1]):
                jobs.append(submit(server.http))
            place.wait_a_while(server.http, jobs[-1], chance)
            pid = process_of(place.state, jobs[-1])
            if pid is not None and is_running(pid) and not over(server.http, jobs[-1]):
                hurt(pid)
                done += 1
        place.check(server.http, jobs)
        return [event["message"] for job_id in jobs for event in events(server.http, job_id)]


def test_a_killed_training_goes_on(place: Workplace) -> None:
    said = hurt_often(place, lambda pid: os.kill(pid, signal.SIGKILL))
    assert sum("ended by signal 9" in line for line in said) >= 1


def test_a_training_whose_state_is_damaged_goes_on(place: Workplace) -> None:
    chance = random.Random(REPEATS)

    def damage(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)  # it would mend what it has just written
        for path in (place.state / "jobs").glob("*/*.pt"):
            content = bytearray(path.read_bytes())
            how = chance.choice(("flip", "cut", "empty", "leave"))
            if how == "flip":
                for _ in range(100):
                    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            elif how != "leave":
                del content[chance.randrange(len(content)) if how == "cut" else 0 :]
            path.write_bytes(content)
        os.kill(pid, signal.SIGKILL)

    said = hurt_often(place, damage)
    assert any("cannot be read: training" in line for line in said)


@pytest.mark.parametrize("victims", ["server", "server and training"])
def test_a_server_killed_while_it_trains_goes_on(place: Workplace, victims: str) -> None:
    chance, jobs = random.Random(REPEATS), list[str]()
    for _ in range(REPEATS):
        with place.doomed_server() as server:
            if not jobs or over(server.http, jobs[-1]):
                jobs.append(submit(server.http))
            place.wait_a_while(server.http, jobs[-1], chance)
            pid = process_of(place.state, jobs[-1])
            targets = [server.pid, *([pid] if victims != "server" and pid is not None and is_running(pid) else [])]
            for target in chance.sample(targets, len(targets)):
                with suppress(ProcessLookupError):
                    os.kill(target, signal.SIGKILL)
            server.process.wait()
        no_orphans(place.state)
    with place.server() as server:
        place.check(server.http, jobs)


def test_a_training_cancelled_at_any_moment(place: Workplace) -> None:
    """It is cancelled and leaves neither model nor folder, or it was too late and it succeeds."""
    chance, succeeded = random.Random(REPEATS), 0
    with place.server() as server:
        for number in range(REPEATS):
            job_id = submit(server.http, epochs=2)
            moment = ("starting", "running", "exporting")[number % 3]
            if moment == "running":
                place.wait_a_while(server.http, job_id, chance)
            elif moment == "exporting":
                log = place.state / "jobs" / job_id / "events.jsonl"
                wait_for(
                    lambda log=log, job_id=job_id: (  # type: ignore[misc]
                        (log.exists() and b'"publishing"' in log.read_bytes()) or over(server.http, job_id)
                    ),
                    PATIENCE_S,
                )
            time.sleep(chance.random() * 0.5)
            answer = httpx.post(f"{server.http}{JOBS}/{job_id}/cancel", timeout=30)
            wait_for(lambda job_id=job_id: over(server.http, job_id), PATIENCE_S)  # type: ignore[misc]
            found = httpx.get(f"{server.http}{JOBS}/{job_id}").json()
            if answer.status_code == 200:
                assert (found["status"], found["fine_tuned_model"]) == ("cancelled", None)
            else:
                assert (answer.status_code, found["status"]) == (409, "succeeded")
                succeeded += 1
            assert place.store.versions().get(MINE, []) == list(range(1, succeeded + 1))
            wait_for(lambda job_id=job_id: not (place.state / "jobs" / job_id).exists())  # type: ignore[misc]
            assert httpx.delete(f"{server.http}/v1/files/{found['training_file']}").status_code == 200
    no_orphans(place.state)


def test_a_full_disk_ends_a_training_with_its_reason_at_most(place: Workplace, small_disk: Path) -> None:
    place.state = small_disk / "state"
    chance, done, jobs = random.Random(REPEATS), 0, list[str]()
    with place.server() as server:
        while done < REPEATS:
            if not jobs or over(server.http, jobs[-1]):
                jobs.append(submit(server.http))
            place.wait_a_while(server.http, jobs[-1], chance)
            with (small_disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            time.sleep(chance.random())
            assert httpx.get(f"{server.http}/livez").status_code == 200
            assert httpx.post(f"{server.http}/v1/samples", json={"model": MODEL, "n": 1}).status_code == 200
            (small_disk / "ballast").unlink()
            done += 1
        for job_id in jobs:
            wait_for(lambda job_id=job_id: over(server.http, job_id), 2 * PATIENCE_S)  # type: ignore[misc]
            found = httpx.get(f"{server.http}{JOBS}/{job_id}").json()
            said = events(server.http, job_id)
            assert [event["sequence"] for event in said] == list(range(1, len(said) + 1))
            if found["status"] != "succeeded":
                assert found["status"] == "failed"
                assert "space" in found["error"]["message"] or "disk" in found["error"]["message"], found["error"]
        after = submit(server.http)
        wait_for(lambda: over(server.http, after), 2 * PATIENCE_S)
        assert httpx.get(f"{server.http}{JOBS}/{after}").json()["status"] == "succeeded"
    no_orphans(place.state)

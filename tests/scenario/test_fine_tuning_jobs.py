"""A client uploads pictures of two digits in a style of its own, and samples digits of that style minutes later.

With the unmodified `openai` package, on the server that trains in a process of its own; once undisturbed, once killed.
"""

import io
import os
import signal
import time
import zipfile
from collections.abc import Iterator

import httpx
import numpy as np
import openai
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from runtime.store import DirectoryStore
from tests.kit.processes import processes_with, wait_for
from tests.kit.server import ServerProcess, running_server
from tests.kit.server_sent_events import events_of
from tests.scenario.conftest import Trained
from tests.scenario.test_job_faults import process_of

pytest.importorskip("trainer.finetune", reason="fine-tuning is not part of this checkout")
pytestmark = [pytest.mark.slow]
CLASSES, PER_CLASS = (3, 7), 100


@pytest.fixture(scope="module")
def server(digits: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(digits.store, tmp_path_factory.mktemp("fine-tuning") / "state") as running:
        yield running


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def inverted_digits() -> bytes:
    """A zip file with one folder per class: dark digits on white."""
    data = load_digits()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for label in CLASSES:
            for number, pixels in enumerate(data.images[data.target == label][:PER_CLASS]):
                picture = io.BytesIO()
                Image.fromarray((255 - pixels * 255 / 16).astype(np.uint8)).save(picture, "PNG")
                archive.writestr(f"{label}/{number:03d}.png", picture.getvalue())
    return file.getvalue()


def brightness(http: str, model: str, label: int) -> float:
    body = {"model": model, "n": 64, "seed": 0, "labels": str(label), "format": "npy"}
    return float(np.load(io.BytesIO(httpx.post(f"{http}/v1/samples", json=body, timeout=60).content)).mean())


def test_from_upload_to_samples_within_three_minutes(
    server: ServerProcess, client: openai.OpenAI, digits: Trained
) -> None:
    start = time.monotonic()
    file = client.files.create(file=("inverted.zip", inverted_digits()), purpose="fine-tune")
    assert file.model_extra is not None
    assert file.model_extra["report"]["images"] == len(CLASSES) * PER_CLASS
    job = client.fine_tuning.jobs.create(model="digits-cgan", training_file=file.id, suffix="inverted")
    seen = list(events_of(server.http, f"/v1/fine_tuning/jobs/{job.id}/events", timeout=300))
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded", seen[-2]
    assert done.fine_tuned_model == "digits-cgan-inverted@1"
    numbers = [event.id for event in seen if event.data is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    kinds = {event.data["data"]["type"] for event in seen if event.data and event.data["data"]}
    assert {"before", "started", "progress", "metrics", "measurement", "checkpoint", "grid", "finished"} <= kinds
    pictures = [event.data["data"]["b64_png"] for event in seen if event.data and "grid:" in event.data["message"]]
    assert any(pictures)
    for label in CLASSES:
        assert brightness(server.http, done.fine_tuned_model, label) > 150
        assert brightness(server.http, "digits-cgan", label) < 105
    seconds = time.monotonic() - start
    assert done.model_extra is not None
    measures = done.model_extra["result"]["measures"]
    print(f"{seconds:.0f} s, kernel distance {measures['kernel_distance']:.4g}", end=", ")
    print(f"before {measures['base.kernel_distance']:.4g}, {measures['kernel_distance_ratio']:.3f} of it")
    assert measures["kernel_distance_ratio"] < 0.5
    assert measures["copying_signs"] == 0
    assert measures["label_accuracy"] >= 0.95
    assert seconds < 180
    assert len(client.fine_tuning.jobs.checkpoints.list(job.id).data) > 0
    promoted = httpx.post(f"{server.http}/v1/fine_tuning/jobs/{job.id}/promote", json={"alias": "dark"}, timeout=60)
    assert promoted.json() == {"object": "alias", "alias": "dark", "target": done.fine_tuned_model, "canary": None}
    assert brightness(server.http, "dark", CLASSES[0]) == brightness(server.http, done.fine_tuned_model, CLASSES[0])
    manifest = DirectoryStore(digits.store).open("digits-cgan-inverted", 1).manifest
    assert manifest.provenance.parent == "digits-cgan@1"


def test_killed_paused_and_resumed_it_publishes_once(
    server: ServerProcess, client: openai.OpenAI, digits: Trained
) -> None:
    state = server.log.parent
    file = client.files.create(file=("inverted.zip", inverted_digits()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(
        model="digits-cgan", training_file=file.id, suffix="twice", extra_body={"config": {"max_minutes": 0.5}}
    )
    wait_for(lambda: "checkpoint" in _said(server, job.id), 120.0, what="a checkpoint")
    pid = process_of(state, job.id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "attempt 2: running" in _said(server, job.id), 60.0)
    wait_for(lambda: _said(server, job.id).count('"started') > 1, 120.0, what="its second start")
    client.fine_tuning.jobs.pause(job.id)
    wait_for(lambda: str(client.fine_tuning.jobs.retrieve(job.id).status) == "paused", 60.0)
    assert not processes_with(str(state / "jobs"))
    client.fine_tuning.jobs.resume(job.id)
    wait_for(lambda: client.fine_tuning.jobs.retrieve(job.id).finished_at is not None, 200.0, what="its end")
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert (done.status, done.fine_tuned_model) == ("succeeded", "digits-cgan-twice@1"), done.error
    assert DirectoryStore(digits.store).versions()["digits-cgan-twice"] == [1]


def _said(server: ServerProcess, job_id: str) -> str:
    return httpx.get(f"{server.http}/v1/fine_tuning/jobs/{job_id}/events", params={"limit": 1000}).text

"""Fine-tuning jobs over the wire, by the unmodified `openai` package and by gRPC, on a server that leaves them waiting.

What a job's process does is tested in `tests/scenario/test_fine_tuning_jobs.py`.
"""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2 import (
    CancelJobRequest,
    CreateJobRequest,
    GetJobRequest,
    JobEvent,
    ListJobsRequest,
    PauseJobRequest,
    ResumeJobRequest,
    WatchJobRequest,
)
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningStub
from tests.kit.archives import class_folders, zip_of
from tests.kit.server import ServerProcess, running_server
from tests.kit.server_sent_events import Sent, events_of
from tests.kit.tiny_package import publish_tiny, publish_tunable


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server without runners, and a package that could be fine-tuned."""
    root: Path = tmp_path_factory.mktemp("fine-tuning")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "plain", precisions=("fp32",))
    publish_tunable(store)
    with running_server(store.root, root / "state", "--job-slots", "0", "--default-model", "tiny") as server:
        yield server
    shutil.rmtree(root)


@pytest.fixture
def client(waiting: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{waiting.http}/v1", api_key="none", max_retries=0) as opened:
        yield opened


@pytest.fixture
def stub(waiting: ServerProcess) -> Iterator[FineTuningStub]:
    with grpc.insecure_channel(waiting.grpc) as channel:
        yield FineTuningStub(channel)


@pytest.fixture(scope="module")
def file_id(waiting: ServerProcess) -> str:
    form = {"files": {"file": ("a.zip", zip_of(class_folders(10)))}, "data": {"purpose": "fine-tune"}}
    return str(httpx.post(f"{waiting.http}/v1/files", **form).json()["id"])  # type: ignore[arg-type]


def test_a_job_from_its_making_to_its_cancelling(client: openai.OpenAI, file_id: str) -> None:
    job = client.fine_tuning.jobs.create(
        model="tiny",
        training_file=file_id,
        suffix="mine",
        seed=7,
        hyperparameters={"n_epochs": 3, "batch_size": "auto"},
        metadata={"team": "a"},
        extra_body={"config": {"max_minutes": 1.5, "adapter": "norm"}},
    )
    assert (job.status, job.model, job.training_file, job.seed) == ("queued", "tiny@1", file_id, 7)
    assert (job.hyperparameters.n_epochs, job.hyperparameters.batch_size) == (3, "auto")
    assert job.model_extra is not None
    assert job.model_extra["name"] == "tiny-mine"
    assert (job.model_extra["config"]["max_minutes"], job.model_extra["config"]["adapter"]) == (1.5, "norm")
    assert client.fine_tuning.jobs.retrieve(job.id) == job
    assert job.id in [listed.id for listed in client.fine_tuning.jobs.list(limit=1)]
    assert str(client.fine_tuning.jobs.pause(job.id).status) == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert client.fine_tuning.jobs.cancel(job.id).finished_at is not None
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=2)]
    assert messages == ["cancelled", "resumed, waiting for a runner", "paused", "created, waiting for a runner"]
    assert list(client.fine_tuning.jobs.checkpoints.list(job.id)) == []
    with pytest.raises(openai.ConflictError, match="is cancelled and cannot be resumed"):
        client.fine_tuning.jobs.resume(job.id)


def test_jobs_are_found_by_their_metadata(client: openai.OpenAI, file_id: str) -> None:
    made = [
        client.fine_tuning.jobs.create(model="tiny", training_file=file_id, metadata={"n": str(n % 2)}).id
        for n in range(4)
    ]
    found = [job.id for job in client.fine_tuning.jobs.list(metadata={"n": "1"}, limit=1)]
    assert found == [made[3], made[1]]


def test_a_key_makes_one_job_however_many_ask_at_once(client: openai.OpenAI, file_id: str) -> None:
    made: list[str] = []

    def ask() -> None:
        headers = {"Idempotency-Key": "the same"}
        made.append(client.fine_tuning.jobs.create(model="tiny", training_file=file_id, extra_headers=headers).id)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(set(made))) == (6, 1)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "nothing"}, openai.NotFoundError, "nothing"),
        ({"model": "plain"}, openai.BadRequestError, "checkpoint.pt"),
        ({"training_file": "file-0"}, openai.BadRequestError, "training_file: got 'file-0'"),
        ({"suffix": "Ä"}, openai.BadRequestError, "suffix"),
        ({"extra_body": {"name": "../up"}}, openai.BadRequestError, "name"),
        ({"extra_body": {"config": {"adapter": "magic"}}}, openai.BadRequestError, "config.adapter"),
        ({"extra_body": {"config": {"adaptor": "norm"}}}, openai.BadRequestError, "config.adaptor: no such field"),
        ({"hyperparameters": {"batch_size": 1}}, openai.BadRequestError, "batch_size"),
        ({"seed": 1, "extra_body": {"config": {"seed": 2}}}, openai.BadRequestError, "seed: got 1"),
        ({"validation_file": "file-0"}, openai.BadRequestError, "validation_file"),
        ({"extra_body": {"colour": 1}}, openai.BadRequestError, "colour: unknown field"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    client: openai.OpenAI, file_id: str, *, changes: dict[str, Any], error: type[openai.APIStatusError], words: str
) -> None:
    with pytest.raises(error) as caught:
        client.fine_tuning.jobs.create(**{"model": "tiny", "training_file": file_id, **changes})
    assert words in str(caught.value)


def test_images_of_another_size_are_refused_with_advice(client: openai.OpenAI) -> None:
    file = client.files.create(file=("a.zip", zip_of(class_folders(4, size=16))), purpose="fine-tune")
    with pytest.raises(openai.BadRequestError, match=r"16x16 pixels.*8x8 for tiny@1; config\.fit = true"):
        client.fine_tuning.jobs.create(model="tiny", training_file=file.id)
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, extra_body={"config": {"fit": True}})
    with pytest.raises(openai.ConflictError, match=job.id):
        client.files.delete(file.id)
    client.fine_tuning.jobs.cancel(job.id)
    assert client.files.delete(file.id).deleted


def test_the_same_over_grpc(stub: FineTuningStub, client: openai.OpenAI, file_id: str) -> None:
    earlier = stub.CreateJob(CreateJobRequest(model="tiny", training_file=file_id, name="earlier"))
    stub.CancelJob(CancelJobRequest(id=earlier.id))
    job = stub.CreateJob(
        CreateJobRequest(model="tiny", training_file=file_id, name="other", config_json='{"epochs": 2}')
    )
    assert (job.status, job.model, json.loads(job.config_json)["epochs"]) == ("queued", "tiny@1", 2)
    assert client.fine_tuning.jobs.retrieve(job.id).hyperparameters.n_epochs == 2
    assert stub.GetJob(GetJobRequest(id=job.id)) == job
    listed = stub.ListJobs(ListJobsRequest(limit=1))
    assert (listed.jobs[0].id, listed.has_more) == (job.id, True)
    assert stub.PauseJob(PauseJobRequest(id=job.id)).status == "paused"
    assert stub.ResumeJob(ResumeJobRequest(id=job.id)).status == "queued"
    assert stub.CancelJob(CancelJobRequest(id=job.id)).status == "cancelled"
    for call, code in (
        (lambda: stub.ResumeJob(ResumeJobRequest(id=job.id)), grpc.StatusCode.FAILED_PRECONDITION),
        (lambda: stub.GetJob(GetJobRequest(id="x")), grpc.StatusCode.NOT_FOUND),
        (lambda: stub.CreateJob(CreateJobRequest(model="tiny", config_json="[]")), grpc.StatusCode.INVALID_ARGUMENT),
        (lambda: list(stub.WatchJob(WatchJobRequest(id="x"))), grpc.StatusCode.NOT_FOUND),
        (lambda: stub.ListJobs(ListJobsRequest(limit=101)), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() == code


def test_both_transports_follow_a_job_to_its_end(
    stub: FineTuningStub, client: openai.OpenAI, waiting: ServerProcess, file_id: str
) -> None:
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file_id)
    over_grpc: list[JobEvent] = []
    over_http: list[Sent] = []
    path = f"/v1/fine_tuning/jobs/{job.id}/events"
    threads = [
        threading.Thread(target=lambda: over_grpc.extend(stub.WatchJob(WatchJobRequest(id=job.id)))),
        threading.Thread(target=lambda: over_http.extend(events_of(waiting.http, path))),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    client.fine_tuning.jobs.pause(job.id)
    client.fine_tuning.jobs.resume(job.id)
    time.sleep(0.5)
    client.fine_tuning.jobs.cancel(job.id)
    refused = httpx.post(f"{waiting.http}/v1/fine_tuning/jobs/{job.id}/promote", json={"alias": "stable", "weight": 2})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "weight")
    refused = httpx.post(f"{waiting.http}/v1/fine_tuning/jobs/{job.id}/promote", json={"alias": "stable"})
    assert (refused.status_code, "has made no model" in refused.text) == (409, True)
    for thread in threads:
        thread.join(10)
    assert [event.sequence for event in over_grpc] == [1, 2, 3, 4]
    assert [event.message for event in over_grpc][-1] == "cancelled"
    assert [event.id for event in over_http] == [1, 2, 3, 4, None]
    assert over_grpc[-1].job_status == "cancelled"
    again = list(stub.WatchJob(WatchJobRequest(id=job.id, after_sequence=2)))
    assert [event.sequence for event in again] == [3, 4]
    assert [event.id for event in events_of(waiting.http, path, last=3)] == [4, None]

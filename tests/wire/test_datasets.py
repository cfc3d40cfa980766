"""Data-set jobs over the wire: the same bytes as the command line's, followed as they are made."""

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.data_sets import contents
from tests.kit.processes import wait_for
from tests.kit.server import LATENTD, ServerProcess
from tests.kit.server_sent_events import events_of


def finished(http: httpx.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def over() -> bool:
        found.update(http.get(f"/v1/datasets/{job_id}").json())
        return found["status"] in ("succeeded", "failed", "cancelled")

    wait_for(over, 60.0, what="the end of the job")
    return found


def download(http: httpx.Client, job: dict[str, Any], folder: Path) -> None:
    folder.mkdir()
    for file_id in job["files"]:
        name = http.get(f"/v1/files/{file_id}").json()["filename"]
        (folder / name).write_bytes(http.get(f"/v1/files/{file_id}/content").content)


@pytest.mark.parametrize("file_format", ["webdataset", "npz"])
def test_a_job_makes_what_the_command_line_makes(
    http: httpx.Client, server: ServerProcess, tmp_path: Path, file_format: str
) -> None:
    body = {"model": "tiny", "n_per_class": 20, "format": file_format, "seed": 5, "truncation": 0.8}
    if file_format == "webdataset":
        body["shard_size"] = 60
    created = http.post("/v1/datasets", json=body)
    assert created.status_code == 200, created.text
    assert created.json()["status"] == "queued"
    assert created.json()["model"] == "tiny@1"
    job = finished(http, created.json()["id"])
    assert (job["status"], job["rows"], job["error"]) == ("succeeded", 200, None)
    download(http, job, tmp_path / "job")
    store = Path(server.log).parents[1] / "models"
    options = ["--per-class", "20", "--format", file_format, "--seed", "5", "--truncation", "0.8"]
    options += ["--shard-size", "60"] if file_format == "webdataset" else []
    command: list[str | Path] = [LATENTD, "synthesize", "tiny", "--store", store, "--out", tmp_path / "cli", *options]
    subprocess.run(command, check=True)
    assert contents(tmp_path / "job") == contents(tmp_path / "cli")
    events = http.get(f"/v1/datasets/{job['id']}/events", params={"limit": 100}).json()
    numbers = [event["sequence"] for event in events["data"]]
    assert numbers == list(range(len(numbers), 0, -1))
    assert not events["has_more"]
    assert events["data"][0]["message"].startswith("succeeded")


def test_events_are_followed_and_resumed_without_gap_or_repeat(http: httpx.Client, server: ServerProcess) -> None:
    job_id = http.post("/v1/datasets", json={"model": "plain", "n": 40, "format": "folder"}).json()["id"]
    path = f"/v1/datasets/{job_id}/events"
    seen = list(events_of(server.http, path))
    assert seen[-1].data is None
    numbers = [event.id for event in seen[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(event.data is not None and event.data["sequence"] == event.id for event in seen[:-1])
    rest = list(events_of(server.http, path, last=2))
    assert rest == seen[2:]
    assert list(events_of(server.http, path, last=len(numbers))) == seen[-1:]
    (part,) = [
        file
        for file in (http.get(f"/v1/files/{file_id}").json() for file_id in finished(http, job_id)["files"])
        if file["filename"].endswith(".zip")
    ]
    assert part["job"] == job_id


def test_a_key_makes_one_job(http: httpx.Client) -> None:
    body = {"model": "tiny", "n": 10, "format": "npz"}
    answers = [http.post("/v1/datasets", json=body, headers={"Idempotency-Key": "once"}).json() for _ in range(3)]
    assert len({answer["id"] for answer in answers}) == 1
    other = http.post("/v1/datasets", json={**body, "n": 20}, headers={"Idempotency-Key": "once"})
    assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
    assert other.headers["x-should-retry"] == "false"
    finished(http, answers[0]["id"])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "tiny"}, "n"),
        ({"model": "tiny", "n": 10, "n_per_class": 1}, "n"),
        ({"model": "tiny", "n": 0}, "n"),
        ({"model": "tiny", "n": 15}, "n"),
        ({"model": "plain", "n_per_class": 15}, "n_per_class"),
        ({"model": "tiny", "n": 10, "format": "cd-rom"}, "format"),
        ({"model": "tiny", "n": 10, "format": "npz", "shard_size": 5}, "shard_size"),
        ({"model": "tiny", "n": 10, "classes": ["ten"]}, "classes"),
        ({"model": "tiny", "n": 10, "precision": "fp16"}, "precision"),
        ({"model": "tiny", "n": 10, "seed": 2**53}, "seed"),
        ({"model": "tiny", "n": 10, "truncation": 0}, "truncation"),
        ({"model": "plain", "n": 10, "format": "idx"}, "format"),
        ({"model": "tiny", "n": 10, "colour": "blue"}, "colour"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(http: httpx.Client, body: dict[str, object], param: str) -> None:
    answer = http.post("/v1/datasets", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


def test_cancel_and_lists(http: httpx.Client) -> None:
    made = [http.post("/v1/datasets", json={"model": "tiny", "n": 200_000}).json()["id"] for _ in range(3)]
    listed = http.get("/v1/datasets", params={"limit": 2}).json()
    assert ([job["id"] for job in listed["data"]], listed["has_more"]) == (made[:0:-1], True)
    assert listed["last_id"] == made[1]
    rest = http.get("/v1/datasets", params={"limit": 1, "after": made[1]}).json()
    assert rest["data"][0]["id"] == made[0]
    assert http.post(f"/v1/datasets/{made[2]}/pause").json()["state"] in ("paused", "pausing")
    for job_id in made:
        assert http.post(f"/v1/datasets/{job_id}/cancel").json()["status"] == "cancelled"
    for job_id in made:
        wait_for(lambda job_id=job_id: http.get(f"/v1/datasets/{job_id}").json()["state"] == "cancelled")  # type: ignore[misc]
    resumed = http.post(f"/v1/datasets/{made[0]}/resume")
    assert (resumed.status_code, "is cancelled and cannot be resumed" in resumed.text) == (409, True)


def test_jobs_that_are_not_there(http: httpx.Client) -> None:
    for answer in (http.get("/v1/datasets/dataset-0"), http.post("/v1/datasets/dataset-0/cancel")):
        assert answer.status_code == 404
    assert http.get("/v1/datasets/dataset-0/events", headers={"Accept": "text/event-stream"}).status_code == 404


def test_jobs_are_counted(http: httpx.Client) -> None:
    finished(http, http.post("/v1/datasets", json={"model": "tiny", "n": 10, "format": "npz"}).json()["id"])
    wait_for(
        lambda: 'latentd_jobs{kind="dataset",status="succeeded"} 0.0' not in http.get("/metrics").text, what="the count"
    )
    assert 'latentd_jobs{kind="fine_tuning",status="queued"}' in http.get("/metrics").text

"""A thousand queued jobs and a hundred thousand events: lists and streams answer within 100 ms, and a stream goes on
where it was cut, without a gap or a repeat."""

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator

import grpc
import httpx
import openai
import pytest

from service.database.database import Database, default_url
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2 import ListJobsRequest, WatchJobRequest
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningStub
from service.jobs.records import NewEvent
from service.jobs.store import JobStore, read_job, write_events
from tests.kit.server import ServerProcess
from tests.kit.server_sent_events import events_of
from tests.wire.test_fine_tuning import client, file_id, stub, waiting

__all__ = ["client", "file_id", "stub", "waiting"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

JOBS, EVENTS = 1_000, 100_000
WITHIN_S, LOOKS = 0.1, 20
PATH = "/v1/fine_tuning/jobs"


@pytest.fixture(scope="module")
def watched(waiting: ServerProcess, file_id: str) -> Iterator[str]:
    """The job with all the events; as many jobs wait before as after it."""
    body = {"model": "tiny", "training_file": file_id}
    first = str(httpx.post(f"{waiting.http}{PATH}", json=body).json()["id"])
    database = Database(default_url(waiting.log.parent))
    jobs = JobStore(database)
    request = jobs.get(first).request
    made = [jobs.create("fine_tuning", request).id for _ in range(JOBS - 1)]
    chosen = made[JOBS // 2]
    for begin in range(0, EVENTS, 1000):
        with database.writing() as connection:
            job = read_job(connection, chosen)
            data = [{"images": begin + n, "loss": 0.5} for n in range(1000)]
            events = [NewEvent("metrics", type="metrics", data=numbers) for numbers in data]
            write_events(connection, job.number, time.time(), job.last_event, events)
    yield chosen
    database.close()


def test_calls_answer_within_100_ms(
    waiting: ServerProcess, watched: str, stub: FineTuningStub, client: openai.OpenAI
) -> None:
    path = f"{PATH}/{watched}/events"

    def first_of_stream(last: int) -> None:
        sent = next(iter(events_of(waiting.http, path, last=last)))
        assert sent.id == last + 1

    def first_of_watch(after: int) -> None:
        call = stub.WatchJob(WatchJobRequest(id=watched, after_sequence=after))
        assert next(iter(call)).sequence == after + 1
        call.cancel()  # type: ignore[no-untyped-call]

    calls: dict[str, Callable[[], object]] = {
        "newest jobs": lambda: client.fine_tuning.jobs.list(limit=100).data[99],
        "jobs behind one": lambda: client.fine_tuning.jobs.list(limit=100, after=watched).data[99],
        "newest events": lambda: client.fine_tuning.jobs.list_events(watched, limit=100).data[99],
        "one job": lambda: client.fine_tuning.jobs.retrieve(watched),
        "jobs over gRPC": lambda: stub.ListJobs(ListJobsRequest(limit=100)).jobs[99],
        "stream from the start": lambda: first_of_stream(0),
        "stream from the middle": lambda: first_of_stream(EVENTS // 2),
        "stream at its end": lambda: first_of_stream(EVENTS),
        "watch from the middle": lambda: first_of_watch(EVENTS // 2),
    }
    for name, call in calls.items():
        seconds = []
        for _ in range(LOOKS):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        print(f"{name}: median {statistics.median(seconds) * 1e3:.0f} ms, worst {max(seconds) * 1e3:.0f} ms")
        assert sorted(seconds)[LOOKS - 2] < WITHIN_S, name


def test_a_stream_that_is_cut_goes_on_without_gap_or_repeat(waiting: ServerProcess, watched: str) -> None:
    chance, seen = random.Random(8), 0
    while seen < EVENTS + 1:
        until = min(EVENTS + 1, seen + chance.randrange(1, EVENTS // 5))
        stream = events_of(waiting.http, f"{PATH}/{watched}/events", last=seen)
        numbers = [sent.id for sent in itertools.islice(stream, until - seen)]
        stream.close()  # type: ignore[attr-defined]
        assert numbers == list(range(seen + 1, until + 1))
        seen = until


def test_a_watch_that_is_cut_goes_on_without_gap_or_repeat(watched: str, stub: FineTuningStub) -> None:
    seen, end = EVENTS - 5_000, EVENTS + 1
    while seen < end:
        call = stub.WatchJob(WatchJobRequest(id=watched, after_sequence=seen))
        numbers = [event.sequence for event in itertools.islice(call, min(1_700, end - seen))]
        call.cancel()  # type: ignore[no-untyped-call]
        assert numbers == list(range(seen + 1, seen + 1 + len(numbers)))
        seen += len(numbers)


def test_a_watch_ends_with_its_job(watched: str, stub: FineTuningStub, client: openai.OpenAI) -> None:
    client.fine_tuning.jobs.cancel(watched)
    last = list(stub.WatchJob(WatchJobRequest(id=watched, after_sequence=EVENTS)))
    assert [event.sequence for event in last] == [EVENTS + 1, EVENTS + 2]
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.WatchJob(WatchJobRequest(id=watched, after_sequence=-1)))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

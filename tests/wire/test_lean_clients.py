"""The cheap load generators of both transports, against a real server: what they count is what it answered."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest
import uvloop

from service.client import lean_grpc, lean_http
from service.client.lean_client import LeanClient, UnexpectedAnswer
from service.client.load import Load
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from tests.kit.server import ServerProcess

SAMPLE = "/latentd.v1.Generation/Sample"


def over_http(server: ServerProcess, model: str, n: int) -> Load:
    body = {"model": model, "n": n, "seed": 0, "format": "raw"}
    return lean_http.closed_loop(f"{server.http}/v1/samples", body, concurrency=3, seconds=0.5)


def over_grpc(server: ServerProcess, model: str, n: int) -> Load:
    message = SampleRequest(model=model, n=n, seed=0).SerializeToString()
    # A value that is longer than one byte can say (RFC 7541 §5.1).
    metadata = [("authorization", f"Bearer {'x' * 300}")]
    return lean_grpc.closed_loop(server.grpc, SAMPLE, message, concurrency=3, seconds=0.5, metadata=metadata)


@pytest.mark.parametrize(("ask", "api"), [(over_http, "http"), (over_grpc, "grpc")])
@pytest.mark.parametrize("n", [1, 200])  # 200 images of 16 × 16 × 3 are several frames of HTTP/2
def test_every_answer_is_counted_once(
    server: ServerProcess, http: httpx.Client, ask: Callable[..., Load], api: str, n: int
) -> None:
    def answered() -> float:
        lines = [line for line in http.get("/metrics").text.splitlines() if line.startswith("latentd_requests_total{")]
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if f'api="{api}"' in line and 'model="plain"' in line
        )

    before = answered()
    load = ask(server, "plain", n)
    assert load.outcomes == {"ok": len(load.latencies)}
    assert len(load.latencies) >= 3
    assert answered() - before == len(load.latencies)
    assert 0 < min(load.latencies) <= max(load.latencies) < 30


def test_a_rate_is_that_of_the_time_until_the_last_answer(server: ServerProcess) -> None:
    body = {"model": "plain", "n": 200, "seed": 0, "format": "raw"}
    start = time.perf_counter()
    load = lean_http.closed_loop(f"{server.http}/v1/samples", body, concurrency=8, seconds=0.001)
    passed = time.perf_counter() - start
    assert len(load.latencies) >= 8
    assert max(load.latencies) <= load.seconds <= passed


@pytest.mark.parametrize("ask", [over_http, over_grpc])
def test_a_refusal_is_no_answer(server: ServerProcess, ask: Callable[..., Load]) -> None:
    with pytest.raises(UnexpectedAnswer):
        ask(server, "nothing", 1)


@pytest.mark.parametrize("late", [0.0, 0.002, 0.05])  # before all are connected, about then, and after
def test_a_server_that_hangs_up_at_once_is_no_empty_success(late: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            for _ in range(3):
                connection = listening.accept()[0]
                time.sleep(late)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        port = listening.getsockname()[1]
        with pytest.raises((UnexpectedAnswer, ConnectionError)):
            lean_http.closed_loop(f"http://127.0.0.1:{port}/", {}, concurrency=3, seconds=0.1)
        thread.join()


def test_a_connection_lost_before_its_turn_is_an_error() -> None:
    async def start_late(port: int) -> None:
        connect = asyncio.get_running_loop().create_connection
        _, client = await connect(lambda: LeanClient(Load()), "127.0.0.1", port)
        listening.accept()[0].close()
        await asyncio.wait([client.done], timeout=10)
        client.start(time.perf_counter() + 1)
        await client.done

    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        pytest.raises(UnexpectedAnswer, match="closed a connection"),
    ):
        runner.run(start_late(listening.getsockname()[1]))


def test_without_a_server_it_says_so() -> None:
    with pytest.raises(OSError, match="refused"):
        lean_grpc.closed_loop("127.0.0.1:9", SAMPLE, b"", concurrency=1, seconds=0.1)

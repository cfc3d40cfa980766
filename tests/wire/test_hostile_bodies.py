"""Bodies and clients that mean harm: a clear status, bounded memory, and other clients unaffected."""

import gzip
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from runtime.store import DirectoryStore
from service.grpc_api._generated import inference_open_inference_pb2 as pb
from service.grpc_api._generated.inference_open_inference_pb2_grpc import GRPCInferenceServiceStub
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2 import FileHeader, UploadFileRequest
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningStub
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

_Result = TypeVar("_Result")

PATIENCE_S = 1
MEMORY_KB = 120_000  # what hostile requests may add at their worst, with bodies of up to 16 MB


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root: Path = tmp_path_factory.mktemp("hostile")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "tiny", precisions=("fp32",))
    publish_tiny(store, "large", size=256, channels=3, classes=(), latent_dim=4, precisions=("fp32",))
    args = ("--default-model", "tiny", f"--patience-seconds={PATIENCE_S}")
    with running_server(store.root, root / "state", *args) as process:
        httpx.post(f"{process.http}/v1/samples", json={"n": 64})
        yield process


def memory_kb(server: ServerProcess, entry: str = "VmRSS") -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(entry)).split()[1])


@pytest.fixture(autouse=True)
def harmless(server: ServerProcess) -> Iterator[None]:
    """After each test a good request is answered, and memory is within its bound."""
    before = memory_kb(server)
    yield
    assert httpx.post(f"{server.http}/v1/samples", json={"n": 4}, timeout=10).status_code == 200
    assert memory_kb(server) - before < MEMORY_KB


@contextmanager
def connected(server: ServerProcess) -> Iterator[socket.socket]:
    address = urlsplit(server.http)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        yield connection


def head(path: str = "/v1/samples", **headers: object) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Status, and head and body."""
    connection.settimeout(10)
    with connection.makefile("rb") as file:
        content = file.readline()
        while (line := file.readline()) not in (b"\r\n", b""):
            content += line
        length = re.search(rb"content-length: (\d+)", content, re.IGNORECASE)
        body = file.read(int(length[1])) if length else b""
    return int(content.split(b" ", 2)[1]), content + body


INFER = "/v2/models/tiny/infer"
SEEDS = {"inputs": [{"name": "seed", "datatype": "UINT64", "shape": [1, 1], "data": [1]}]}


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_refused_by_what_it_inflates_to(http: httpx.Client, server: ServerProcess, encoding: str) -> None:
    content = gzip.compress(bytes(100 << 20)) if encoding == "gzip" else zlib.compress(bytes(100 << 20))
    assert len(content) < 2 << 20
    peak = memory_kb(server, "VmHWM")
    answer = http.post(INFER, content=content, headers={"Content-Encoding": encoding})
    assert answer.status_code == 413
    assert "inflates to over 16777216 bytes" in answer.json()["error"]
    assert memory_kb(server, "VmHWM") - peak < MEMORY_KB


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (b"no gzip", "gzip", 400),
        (gzip.compress(json.dumps(SEEDS).encode(), mtime=0)[:-5], "gzip", 400),
        (json.dumps(SEEDS).encode(), "br", 415),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip, gzip", 415),
    ],
)
def test_what_is_not_compressed_as_it_says_is_refused(
    http: httpx.Client, content: bytes, encoding: str, status: int
) -> None:
    assert http.post(INFER, content=content, headers={"Content-Encoding": encoding}).status_code == status


@pytest.mark.parametrize("path", ["/v1/samples", INFER, "/v1/reconstructions", "/v1/images/variations"])
def test_a_gigabyte_is_refused_before_it_is_sent(server: ServerProcess, path: str) -> None:
    with connected(server) as connection:
        connection.sendall(head(path, Content_Length=1 << 30) + b"{")
        status, content = answer_of(connection)
        assert status == 413
        assert b"connection: close" in content.lower()


@pytest.mark.parametrize("length", [-1, 2**63, 10**30, "1e3", "0x10", "5, 6"])
def test_a_length_that_is_none_is_refused(server: ServerProcess, length: object) -> None:
    with connected(server) as connection:
        connection.sendall(head(Content_Length=length) + b"{}")
        assert answer_of(connection)[0] in (400, 413)


@pytest.mark.parametrize("length", ["-1", "99999999", "x", "1e1", str(2**70), "", "²"])
def test_the_binary_extension_may_not_lie_about_its_header(http: httpx.Client, length: str) -> None:
    headers = {b"Inference-Header-Content-Length": length.encode()}
    answer = http.post(INFER, content=json.dumps(SEEDS).encode(), headers=headers)
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]


def binary(size: object, payload: bytes = b"", shape: object = (1, 1), datatype: str = "UINT64") -> dict[str, Any]:
    entry = {"name": "seed", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    content = json.dumps({"inputs": [entry]}).encode()
    return {"content": content + payload, "headers": {"Inference-Header-Content-Length": str(len(content))}}


@pytest.mark.parametrize(
    "request_",
    [
        binary(8),
        binary(-8, bytes(8)),
        binary(2**62, bytes(8)),
        binary("8", bytes(8)),
        binary(8, bytes(16)),
        binary(8, bytes(8), shape=(2**62, 4)),
        binary(8, bytes(8), shape=(-1, -1)),
        binary(0, b"", shape=(0, 1)),
        binary(0, b"", shape=()),
        binary(8, bytes(8), shape=(1,) * 1000),
        binary(8, bytes(8), datatype="BYTES"),
    ],
)
def test_binary_tensors_may_not_lie_about_their_size(http: httpx.Client, request_: dict[str, Any]) -> None:
    answer = http.post(INFER, **request_)
    assert answer.status_code == 400, answer.text
    assert "inputs" in answer.json()["error"] or "body" in answer.json()["error"]


def latents_of(number: str) -> dict[str, str]:
    """A path and a body for each way to say four numbers."""
    row = f"[{', '.join([number] * 4)}]"
    tensor = f'{{"name": "latents", "datatype": "FP32", "shape": [1, 4], "data": {row}}}'
    return {
        "/v1/samples": f'{{"model": "large", "latents": [{row}]}}',
        "/v1/images/generations": f'{{"model": "large", "latents": [{row}]}}',
        "/v2/models/large/infer": f'{{"inputs": [{tensor}]}}',
    }


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e39", "null", '"1"', "true", "{}"])
def test_numbers_that_are_none_are_refused_everywhere(http: httpx.Client, number: str) -> None:
    for path, content in latents_of("0.5").items():
        assert http.post(path, content=content).status_code == 200, "the test asks rightly"
    for path, content in latents_of(number).items():
        answer = http.post(path, content=content)
        assert answer.status_code == 400, (path, answer.text)
        assert "latents" in answer.text
    if number != "null":  # which is nothing said
        assert http.post("/v1/samples", content=f'{{"truncation": {number}}}').status_code == 400


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"n": ' + b"9" * 100_000 + b"}",
        b'{"latents": [' + b"[1]," * 100_000 + b"[1]]}",
        b'{"seeds": [' + b"1," * 3_000_000 + b"1]}",
        b'{"labels": [' + b'"x",' * 200_000 + b'"x"]}',
        b'{"model": "' + b"x" * 10_000_000 + b'"}',
        b'{"' + b"x" * 10_000_000 + b'": 1}',
        b"\xff" * 100_000,
        b" " * 10_000_000,
        b'{"n": 1}' + b"\x00" * 100_000,
    ],
    ids=range(11),
)
@pytest.mark.parametrize("path", ["/v1/samples", INFER])
def test_json_without_measure_is_refused(http: httpx.Client, path: str, content: bytes) -> None:
    answer = http.post(path, content=content)
    assert answer.status_code in (400, 404), answer.text[:300]
    assert len(answer.content) < 2000


MANY_DIGITS = "9" * 4300  # the most that Python reads as an integer: whatever is computed from it has more


def bodies_of_many_digits(schema: dict[str, Any]) -> Iterator[str]:
    """A body for each field of a schema, that has the number in its place, alone and in lists."""
    for name in schema.get("properties", {}):
        for value in (MANY_DIGITS, f"-{MANY_DIGITS}", f"[{MANY_DIGITS}, {MANY_DIGITS}]", f"[[{MANY_DIGITS}]]"):
            yield f'{{"{name}": {value}}}'
    if "inputs" in schema.get("properties", {}):
        for datatype, name in (("FP32", "latents"), ("UINT64", "seed"), ("INT64", "label"), ("FP32", "truncation")):
            entry = f'"name": "{name}", "datatype": "{datatype}"'
            for shape in (f"[{MANY_DIGITS}, {MANY_DIGITS}]", f"[{MANY_DIGITS}]", f"[{MANY_DIGITS}, 1]"):
                yield f'{{"inputs": [{{{entry}, "shape": {shape}, "data": [1]}}]}}'
            yield f'{{"inputs": [{{{entry}, "shape": [1, 1], "data": [{MANY_DIGITS}]}}]}}'
            size = f'"parameters": {{"binary_data_size": {MANY_DIGITS}}}'
            yield f'{{"inputs": [{{{entry}, "shape": [1, 1], {size}}}]}}'


def test_numbers_of_thousands_of_digits_are_refused_by_every_field_there_is(
    http: httpx.Client, server: ServerProcess
) -> None:
    """Bodies, paths and queries of every operation of the document."""
    asked, wrong = 0, []
    for template, operations in http.get("/openapi.json").json()["paths"].items():
        if template.endswith("/unload"):
            continue
        for method, operation in operations.items():
            path = re.sub(r"\{[a-z_]+\}", "tiny", template)
            answers = [http.request(method, re.sub(r"\{[a-z_]+\}", MANY_DIGITS, template))]
            answers.append(http.request(method, re.sub(r"\{[a-z_]+\}", f"tiny@{MANY_DIGITS}", template)))
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    answers.append(http.request(method, path, params={parameter["name"]: MANY_DIGITS}))
                elif parameter["in"] == "header":
                    answers.append(http.request(method, path, headers={parameter["name"]: MANY_DIGITS}))
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            answers += [http.request(method, path, content=body) for body in bodies_of_many_digits(schema)]
            asked += len(answers)
            for answer in answers:
                if answer.status_code >= 500 or (answer.status_code != 200 and len(answer.content) > 20_000):
                    wrong.append((method, path, answer.text, answer.request.content[:80]))
    assert asked > 300
    assert wrong == []
    assert "Traceback" not in server.log.read_text()


def longest_wait(server: ServerProcess, work: Callable[[], _Result]) -> tuple[float, float, _Result]:
    """How long another client waits at most while `work` is done, how long that takes, and its result."""
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=server.http) as other:
        start, waits = time.perf_counter(), []
        working = pool.submit(work)
        while not working.done():
            begin = time.perf_counter()
            assert other.get("/livez").status_code == 200
            waits.append(time.perf_counter() - begin)
        return max(waits), time.perf_counter() - start, working.result()


def test_fifteen_megabytes_of_numbers_do_not_hold_up_others(http: httpx.Client, server: ServerProcess) -> None:
    """While a large body is read, small requests go on: none waits for as long as the reading takes."""
    content = json.dumps({"latents": [[0.123456789012345] * 700] * 1000, "labels": 1}).encode()
    assert 12 << 20 < len(content) < 16 << 20
    longest, seconds, answer = longest_wait(server, lambda: http.post("/v1/samples", content=content))
    assert answer.status_code == 400
    assert "got shape [1000, 700]" in answer.text
    assert longest < seconds / 2


def test_bodies_of_a_hundred_thousand_tiny_chunks_are_read_and_hold_up_nobody(server: ServerProcess) -> None:
    content = json.dumps({"n": 1, "seed": 5}).encode()
    padded = content[:-1] + b" " * 100_000 + b"}"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in padded) + b"0\r\n\r\n"

    def send() -> set[int]:
        found = set()
        with connected(server) as connection:
            for _ in range(5):
                connection.sendall(head(Transfer_Encoding="chunked"))
                for start in range(0, len(chunks), 600):  # a hundred to a packet
                    connection.sendall(chunks[start : start + 600])
                found.add(answer_of(connection)[0])
        return found

    longest, seconds, statuses = longest_wait(server, send)
    assert statuses == {200}
    assert longest < seconds / 2


def test_a_body_that_drips_is_given_up(server: ServerProcess) -> None:
    with connected(server) as connection:
        connection.sendall(head(Content_Length=1000))
        start = time.monotonic()
        connection.settimeout(0.1)
        while time.monotonic() - start < 10:
            try:
                connection.sendall(b" ")
                content = connection.recv(65536)
                break
            except TimeoutError:
                continue
        assert b" 504 " in content.split(b"\r\n")[0]
        assert b"body: not whole after 1 s" in content
        assert PATIENCE_S <= time.monotonic() - start < PATIENCE_S + 2


def test_a_body_that_breaks_off_is_no_error_of_ours(server: ServerProcess) -> None:
    with connected(server) as connection:
        connection.sendall(head(Content_Length=1000) + b"{")
    end = time.monotonic() + 5
    while 'api="http",code="499",model=""' not in httpx.get(f"{server.http}/metrics").text:
        assert time.monotonic() < end
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("begun", [b"", b"POST /v1/samples HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_a_head_that_never_ends_is_given_up(server: ServerProcess, begun: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(begun)
        start = time.monotonic()
        assert connection.recv(1000) == b""
        assert PATIENCE_S / 2 < time.monotonic() - start < PATIENCE_S + 3


def test_a_kept_connection_may_rest_and_its_next_head_has_an_end_too(server: ServerProcess) -> None:
    with connected(server) as connection:
        request = head(Content_Length=2) + b"{}"
        for _ in range(2):
            connection.sendall(request)
            assert answer_of(connection)[0] == 200
            time.sleep(PATIENCE_S + 0.5)
        connection.sendall(request[:20])
        start = time.monotonic()
        while connection.recv(65536):
            pass
        assert time.monotonic() - start < PATIENCE_S + 3


def test_a_head_without_measure_is_refused(server: ServerProcess) -> None:
    peak = memory_kb(server, "VmHWM")
    for endless in (b"x" * 1_000_000, b"X-Header: y\r\n" * 80_000):
        with connected(server) as connection:
            connection.sendall(b"POST /v1/samples HTTP/1.1\r\nHost: localhost\r\n")
            with suppress(ConnectionError):
                for _ in range(50):
                    connection.sendall(endless)
            with suppress(ConnectionError):
                assert connection.recv(1000)[:12] in (b"HTTP/1.1 400", b"")
    assert memory_kb(server, "VmHWM") - peak < 20_000


def given_up(server: ServerProcess) -> float:
    """How many requests ended because their client was gone or read nothing."""
    families = text_string_to_metric_families(httpx.get(f"{server.http}/metrics").text)
    [requests] = [family for family in families if family.name == "latentd_requests"]
    return sum(s.value for s in requests.samples if s.name == "latentd_requests_total" and s.labels["code"] == "499")


def test_slow_readers_hold_little_and_lose_their_answer(server: ServerProcess) -> None:
    """Four clients ask for 25 MB each and read nothing: they are given up, and their answers with them."""
    body = json.dumps({"model": "large", "n": 128, "format": "raw"}).encode()
    before, already = memory_kb(server), given_up(server)
    readers = [socket.create_connection((urlsplit(server.http).hostname, urlsplit(server.http).port)) for _ in range(4)]
    try:
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.sendall(head(Content_Length=len(body)) + body)
        end = time.monotonic() + 60
        while given_up(server) < len(readers) + already:
            assert time.monotonic() < end, "a reader of nothing was not given up"
            time.sleep(0.2)
        assert httpx.post(f"{server.http}/v1/samples", json={"n": 1}).status_code == 200
    finally:
        for reader in readers:
            reader.close()
    assert memory_kb(server) - before < MEMORY_KB


def test_hundreds_of_connections_that_say_nothing_leave_room_for_others(server: ServerProcess) -> None:
    address = urlsplit(server.http)
    idle = [socket.create_connection((address.hostname, address.port)) for _ in range(500)]
    try:
        for connection in idle[:250]:
            connection.sendall(b"POST /v1/samples HTTP/1.1\r\nHost: loc")
        assert httpx.post(f"{server.http}/v1/samples", json={"n": 1}).status_code == 200
    finally:
        for connection in idle:
            connection.close()


def test_grpc_messages_over_the_limit_are_refused(server: ServerProcess) -> None:
    with grpc.insecure_channel(server.grpc) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            GenerationStub(channel).Sample(SampleRequest(model="x" * (17 << 20)))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        peak = memory_kb(server, "VmHWM")
        with pytest.raises(grpc.RpcError) as caught:
            GenerationStub(channel).Sample(SampleRequest(model="x" * (64 << 20)), compression=grpc.Compression.Gzip)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert memory_kb(server, "VmHWM") - peak < MEMORY_KB


def test_a_grpc_upload_that_stops_is_given_up(server: ServerProcess) -> None:
    over = threading.Event()

    def parts() -> Iterator[UploadFileRequest]:
        yield UploadFileRequest(header=FileHeader(filename="a.zip"))
        over.wait(20)

    with grpc.insecure_channel(server.grpc) as channel:
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            FineTuningStub(channel).UploadFile(parts())
        waited = time.monotonic() - start
        over.set()
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert "did not come within 1 s" in (caught.value.details() or "")
    assert PATIENCE_S <= waited < PATIENCE_S + 5


def test_grpc_streams_that_nobody_reads_or_writes_hold_little(server: ServerProcess) -> None:
    """Four clients ask for 4 GB each and read nothing, a hundred open a dialogue and say nothing: others go on."""
    before = memory_kb(server)
    with grpc.insecure_channel(server.grpc) as channel:
        asked = SampleRequest(model="large", n=20_000)
        unread: list[Any] = [GenerationStub(channel).SampleStream(asked) for _ in range(4)]
        silent = threading.Event()
        dialogues: list[Any] = [GRPCInferenceServiceStub(channel).ModelStreamInfer(pause(silent)) for _ in range(100)]
        for stream in unread:
            next(stream)
        time.sleep(3)
        assert httpx.post(f"{server.http}/v1/samples", json={"n": 4}, timeout=10).status_code == 200
        with grpc.insecure_channel(server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as other:
            assert GenerationStub(other).Sample(SampleRequest(model="tiny"), timeout=10).images
        assert memory_kb(server) - before < MEMORY_KB
        silent.set()
        for call in (*unread, *dialogues):
            call.cancel()


def pause(over: threading.Event) -> Iterator[pb.ModelInferRequest]:
    """No request for as long as the test lasts."""
    over.wait(60)
    yield from ()


@pytest.mark.parametrize(
    "tensor",
    [
        {"shape": [2**62, 2**62]},
        {"shape": [0, 1]},
        {"shape": [-1, 1]},
        {"shape": [1] * 1000},
        {"name": "x" * 100_000},
        {"datatype": "y" * 100_000},
    ],
)
def test_grpc_tensors_may_not_lie(server: ServerProcess, tensor: dict[str, Any]) -> None:
    entry = pb.ModelInferRequest.InferInputTensor(**{"name": "seed", "datatype": "UINT64", "shape": [1, 1], **tensor})
    request = pb.ModelInferRequest(model_name="tiny", inputs=[entry], raw_input_contents=[bytes(8)])
    with grpc.insecure_channel(server.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        GRPCInferenceServiceStub(channel).ModelInfer(request)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_pixels_as_json_numbers_have_an_end(http: httpx.Client) -> None:
    many = {"inputs": [{"name": "seed", "datatype": "UINT64", "shape": [100, 1], "data": list(range(100))}]}
    answer = http.post("/v2/models/large/infer", json=many)
    assert answer.status_code == 400
    assert "outputs.images.parameters.binary_data: got False" in answer.json()["error"]
    few = {"inputs": [{"name": "seed", "datatype": "UINT64", "shape": [2, 1], "data": [1, 2]}]}
    output = http.post("/v2/models/large/infer", json=few).json()["outputs"][0]
    raw = http.post("/v1/samples", json={"model": "large", "seed": 1, "n": 2, "format": "npy"}).content
    assert output["shape"] == [2, 256, 256, 3]
    assert output["data"] == np.frombuffer(raw, np.uint8)[-len(output["data"]) :].tolist()

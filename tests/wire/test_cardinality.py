"""A client cannot make the server remember what it says: no request creates a series that was not foreseen."""

import asyncio
import json
import re
from urllib.parse import urlsplit

import grpc
import httpx
import pytest

from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess

NAMES = 10_000
CONNECTIONS = 8


def series(server: ServerProcess) -> set[str]:
    """Every series of the server, without its value."""
    lines = httpx.get(f"{server.http}/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


async def ask_for_models(server: ServerProcess, names: range) -> None:
    """Requests for models that do not exist, in a body and in a path by turns, over one connection."""
    address = urlsplit(server.http)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    host = f"HTTP/1.1\r\nHost: {address.netloc}"
    for number in names:
        if number % 2:
            body = json.dumps({"model": f"bad-{number}"}).encode()
            head = f"POST /v1/samples {host}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        else:
            body, head = b"", f"GET /v2/models/bad-{number} {host}\r\n\r\n".encode()
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404"), answer
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        assert length
        await reader.readexactly(int(length[1]))
    writer.close()


async def test_ten_thousand_bad_model_names_make_no_new_series(server: ServerProcess, channel: grpc.Channel) -> None:
    sample = GenerationStub(channel).Sample
    with pytest.raises(grpc.RpcError):
        sample(SampleRequest(model="bad"))
    await ask_for_models(server, range(2))
    before = series(server)
    await asyncio.gather(*(ask_for_models(server, range(part, NAMES, CONNECTIONS)) for part in range(CONNECTIONS)))
    for number in range(100):
        with pytest.raises(grpc.RpcError):
            sample(SampleRequest(model=f"bad-{number}", n=number))
    assert series(server) == before


def test_nor_do_bad_paths_methods_ids_versions_and_precisions(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.http) as http:

        def everything(word: str) -> None:
            http.get(f"/{word}")
            http.get(f"/v1/{word}")
            http.request(word.upper(), "/v1/samples")
            http.get("/v1/models", headers={"X-Request-Id": word})
            http.post("/v1/samples", json={"precision": word, "priority": word})
            http.post("/v1/samples", json={"model": f"tiny@{len(word)}9"})

        everything("first")
        before = series(server)
        for number in range(50):
            everything(f"word{chr(97 + number % 26)}{'x' * number}")
        assert series(server) == before

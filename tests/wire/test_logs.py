"""A server's log under mixed load: JSON line by line, and from a client's error to its line."""

import json
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.keys import KeyFile
from tests.kit.server import running_server, start_latentd


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_every_line_of_a_mixed_load_parses_and_a_request_id_leads_to_its_line(
    tiny_store: DirectoryStore, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    key = KeyFile(state).create("client")
    broken = tiny_store.root / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text('{"name": "broken\\n"')
    with running_server(tiny_store.root, state, "--log-format", "json", "--poll-seconds", "0.2") as server:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=server.http, headers=headers) as http:
            assert http.post("/v1/samples", json={"n": 3}, headers={"X-Request-Id": "good"}).status_code == 200
            refused = http.post("/v1/samples", json={"n": -1})
            http.post("/v1/samples", content=b"{\xff")
            http.get('/no/such%0apath"%1b[2J')
            http.get("/livez")
            http.post("/v1/samples", headers={"Authorization": "Bearer lk_wrong"})
        with grpc.insecure_channel(server.grpc) as channel:
            sample = GenerationStub(channel).Sample
            metadata = (("authorization", f"Bearer {key}"), ("x-request-id", "over-grpc"))
            assert len(sample(SampleRequest(n=2), metadata=metadata).images) == 2
            for request, own in ((SampleRequest(n=2), ()), (SampleRequest(model="no\nne"), metadata[:1])):
                with pytest.raises(grpc.RpcError):
                    sample(request, metadata=own)
        log = server.log
    lines = lines_of(log)
    access = [line for line in lines if line["logger"] == "latentd.access"]
    assert [line for line in lines if line["message"] == "stopped"]
    assert not [line for line in access if line.get("path") == "/livez"]
    assert {line["code"] for line in access} >= {"200", "400", "404", "401", "OK", "UNAUTHENTICATED", "NOT_FOUND"}

    (good,) = [line for line in access if line["request_id"] == "good"]
    assert (good["method"], good["path"], good["code"], good["rows"]) == ("POST", "/v1/samples", "200", 3)
    assert (good["model"], good["version"]) == ("tiny", "1")
    assert good["key_id"] == KeyFile(state).all()[0].id
    assert 0 < good["queue_ms"] + good["run_ms"] <= good["duration_ms"]
    (over_grpc,) = [line for line in access if line["request_id"] == "over-grpc"]
    assert (over_grpc["api"], over_grpc["rows"], over_grpc["key_id"]) == ("grpc", 2, good["key_id"])

    (line,) = [line for line in access if line["request_id"] == refused.headers["x-request-id"]]
    assert (line["code"], line["path"]) == ("400", "/v1/samples")
    assert key not in log.read_text()


def test_a_start_that_fails_says_so_in_the_format_that_was_asked_for(store: DirectoryStore, tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = ("serve", "--store", str(store.root), "--state", str(tmp_path / "state"), "--host", "0.0.0.0")
    assert start_latentd(*arguments, "--log-format", "json", log=log).wait(30) == 1
    (line,) = lines_of(log)
    assert line["level"] == "critical"
    assert "there is no API key" in line["message"]

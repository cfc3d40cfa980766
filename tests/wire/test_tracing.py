"""Spans of a real server at a collector: requests under their callers, batches linked to their requests."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import running_server, start_latentd
from tests.kit.tiny_package import publish_tiny

CALLER = "0af7651916cd43dd8448eb211c80319c"


class Collector:
    """Takes OTLP over HTTP and keeps the spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.service = ""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.take(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {entry.key: entry.value.string_value for entry in resource.resource.attributes}
            self.service = names["service.name"]
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.sdk")
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in span.attributes}


def test_a_request_id_leads_to_the_log_line_and_to_the_trace(
    collector: Collector, tiny_store: DirectoryStore, tmp_path: Path
) -> None:
    arguments = ("--log-format", "json", "--trace-endpoint", collector.url)
    with running_server(tiny_store.root, tmp_path / "state", *arguments) as server:
        traceparent = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}
        answer = httpx.post(f"{server.http}/v1/samples", json={"n": 3}, headers=traceparent)
        refused = httpx.post(f"{server.http}/v1/samples", json={"n": 0})
        httpx.get(f"{server.http}/livez")
        with grpc.insecure_channel(server.grpc) as channel:
            GenerationStub(channel).Sample(SampleRequest(n=2), metadata=(("x-request-id", "over-grpc"),))
    assert collector.service == "latentd"
    spans = {attributes(span).get("latentd.request_id"): span for span in collector.spans if span.name != "batch"}
    assert len(spans) == 3, "the probe is not traced"

    span = spans[answer.headers["x-request-id"]]
    assert span.name == "POST /v1/samples"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (CALLER, "b7ad6b7169203331")
    assert attributes(span)["http.response.status_code"] == 200
    assert (attributes(span)["latentd.model"], attributes(span)["latentd.rows"]) == ("tiny", 3)

    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == refused.headers["x-request-id"]]
    assert line["trace_id"] == spans[refused.headers["x-request-id"]].trace_id.hex()
    assert spans["over-grpc"].name == "latentd.v1.Generation/Sample"


async def test_a_batch_is_linked_to_each_of_its_requests_and_they_to_it(
    collector: Collector, store: DirectoryStore, tmp_path: Path
) -> None:
    publish_tiny(store, delay=20, precisions=("fp32",))
    arguments = ("--trace-endpoint", collector.url, "--inference-threads", "1", "--batch-ms", "200")
    with running_server(store.root, tmp_path / "state", *arguments) as server:
        async with httpx.AsyncClient(base_url=server.http, timeout=30) as http:
            await asyncio.gather(*(http.post("/v1/samples", json={"seed": seed}) for seed in range(12)))
    batches = [span for span in collector.spans if span.name == "batch"]
    requests = {span.span_id: span for span in collector.spans if span.name != "batch"}
    assert len(requests) == 12
    assert any(len(batch.links) > 1 for batch in batches), "no batch was shared"
    for batch in batches:
        linked = [link.span_id for link in batch.links]
        assert batch.parent_span_id == linked[0]
        assert attributes(batch)["latentd.rows"] == attributes(batch)["latentd.requests"] == len(linked)
        assert all(batch.span_id in {link.span_id for link in requests[span].links} for span in linked)
    assert {link.span_id for batch in batches for link in batch.links} == set(requests)


def test_the_share_of_traced_requests_is_a_setting(
    collector: Collector, tiny_store: DirectoryStore, tmp_path: Path
) -> None:
    arguments = ("--trace-endpoint", collector.url, "--trace-ratio", "0")
    with running_server(tiny_store.root, tmp_path / "state", *arguments) as server:
        httpx.post(f"{server.http}/v1/samples", json={"n": 1})
        sampled = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01"}
        httpx.post(f"{server.http}/v1/samples", json={"n": 1}, headers=sampled)
    assert {span.trace_id.hex() for span in collector.spans} == {CALLER}


def test_a_collector_that_is_away_holds_up_neither_requests_nor_the_stop(
    tiny_store: DirectoryStore, tmp_path: Path
) -> None:
    pytest.importorskip("opentelemetry.sdk")
    with running_server(tiny_store.root, tmp_path / "state", "--trace-endpoint", "http://127.0.0.1:9") as server:
        assert httpx.post(f"{server.http}/v1/samples", json={"n": 1}).elapsed.total_seconds() < 1


def test_without_the_sdk_the_start_says_what_to_install(tiny_store: DirectoryStore, tmp_path: Path) -> None:
    code = "import sys; sys.modules['opentelemetry.sdk'] = None; from runtime.cli import main; main()"
    arguments = ("serve", "--store", str(tiny_store.root), "--state", str(tmp_path / "state"))
    log = tmp_path / "log"
    command = (sys.executable, "-c", code)
    assert start_latentd(*arguments, "--trace-endpoint", "http://127.0.0.1:9", log=log, latentd=command).wait(30) == 1
    assert "setting trace_endpoint: tracing needs latentd[tracing], which is not installed" in log.read_text()

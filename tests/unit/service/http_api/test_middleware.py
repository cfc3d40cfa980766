"""Around every HTTP request: an id, a key, a limit on the body, a count."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from service.errors import Cancelled
from service.http_api.departures import Departure, keep_departure
from service.http_api.middleware import LimitBody, Observe
from service.http_api.recording import Recorder
from service.http_api.requests import while_connected
from service.keys import KeyFile
from service.metrics import Metrics
from tests.unit.service.http_api.conftest import MAX_BODY
from tests.unit.service.parts import value_of


async def test_a_good_request_id_is_kept_and_any_other_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/livez", headers={"X-Request-Id": "abc-1.2_3"})
    assert kept.headers["x-request-id"] == "abc-1.2_3"
    for bad in ("", "a b", "x" * 129, "ä", "<script>"):
        answer = await client.get("/livez", headers={b"X-Request-Id": bad.encode()})
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-request-id"] != bad


async def test_with_a_key_every_path_but_the_probes_needs_it(client: httpx.AsyncClient, keys: KeyFile) -> None:
    key = keys.create("a")
    for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert (await client.get(path)).status_code == 200
    for path in ("/", "/metrics", "/docs", "/openapi.json", "/v1/models", "/v2", "/v2/models/tiny", "/nowhere"):
        refused = await client.get(path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.headers["x-request-id"]
        answer = await client.get(path, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code in (200, 404)


async def test_a_body_over_the_limit_is_refused_by_its_length_or_as_it_comes(client: httpx.AsyncClient) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield bytes(MAX_BODY // 10)

    declared = await client.post("/v1/samples", content=bytes(MAX_BODY + 1))
    streamed = await client.post("/v1/samples", content=chunks())
    for answer in (declared, streamed):
        assert answer.status_code == 413
        assert f"allowed: up to {MAX_BODY} bytes" in answer.json()["error"]["message"]
        assert answer.json()["error"]["code"] == "too_large"
    assert (await client.post("/v2/models/tiny/infer", content=bytes(MAX_BODY + 1))).json().keys() == {"error"}


async def test_paths_and_methods_that_do_not_exist_get_the_familys_error_body(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/nothing")).json()["error"]["code"] == "not_found"
    assert (await client.get("/v2/nothing")).json() == {"error": "path: got GET /v2/nothing; allowed: see /docs"}
    wrong = await client.delete("/v1/samples")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


async def test_what_nobody_foresaw_is_answered_without_its_text_and_logged(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("the secret is 42")

    transport = httpx.ASGITransport(Observe(broken, Recorder(metrics)))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/v1/models", headers={"X-Request-Id": "quote-me"})
    assert answer.status_code == 500
    assert "quote-me" in answer.text
    assert "secret" not in answer.text
    assert "the secret is 42" in caplog.text
    labels = {"model": "", "version": "", "api": "http", "code": "500"}
    assert value_of(metrics, "latentd_requests_total", **labels) == 1


async def test_a_limit_of_the_body_counts_every_piece(metrics: Metrics) -> None:
    received: list[int] = []

    async def reader(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["more_body"]:
            received.append(len(message["body"]))

    pieces = iter([{"type": "http.request", "body": bytes(6), "more_body": True}] * 5)

    async def receive() -> Any:
        return next(pieces)

    with pytest.raises(Exception, match="body: got over 10 bytes; allowed: up to 10 bytes"):
        await LimitBody(reader, 10, metrics)({"type": "http", "headers": []}, receive, None)  # type: ignore[arg-type]
    assert received == [6]
    assert value_of(metrics, "latentd_rejected_total", reason="size") == 1


@pytest.mark.parametrize("gone", ["before", "meanwhile"])
async def test_work_is_cancelled_when_its_client_goes_away(gone: str) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    request, departure = Request({"type": "http", "headers": [], "state": {}}), Departure()
    keep_departure(request.scope, departure)
    if gone == "before":
        departure.happened()
    waiting = asyncio.create_task(while_connected(request, work()))
    if gone == "meanwhile":
        await begun.wait()
        departure.happened()
    with pytest.raises(Cancelled):
        await waiting
    assert (begun.is_set(), cancelled.is_set()) == (gone == "meanwhile", gone == "meanwhile")
    assert request.state.status == 499


async def test_work_of_a_client_that_stays_is_nothing_to_its_next_departure() -> None:
    request, departure = Request({"type": "http", "headers": [], "state": {}}), Departure()
    keep_departure(request.scope, departure)

    async def work() -> int:
        return 7

    assert await while_connected(request, work()) == 7
    departure.happened()
    await asyncio.sleep(0)  # were it cancelled, here it would be

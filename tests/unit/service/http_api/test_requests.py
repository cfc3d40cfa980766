"""Bodies as clients send them, the broken ones included."""

import gzip
import json
import time
import zlib
from typing import Any

import httpx
import pytest

from service.metrics import Metrics


async def refusal(client: httpx.AsyncClient, body: Any, path: str = "/v1/samples") -> tuple[int, str, str | None]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await client.post(path, content=content)
    error = answer.json()["error"]
    return answer.status_code, error["message"], error["param"]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{", "body", "body: not JSON ("),
        (b"\xff\xfe", "body", "body: not JSON ("),
        (b"[]", "body", "body: got []; allowed: a JSON object"),
        (b"null", "body", "body: got None; allowed: a JSON object"),
        (b"[" * 100_000, "body", "body: not JSON ("),
        ({"sed": 3}, "sed", "sed: unknown field, got 3 (did you mean seed?); allowed: model, n, seed"),
        ({"n": "4"}, "n", "n: got '4'; allowed: a valid integer"),
        ({"n": 1.5}, "n", "n: got 1.5; allowed: a valid integer"),
        ({"n": True}, "n", "n: got True; allowed: a valid integer"),
        ({"seed": 1e3}, "seed", "seed: got 1000.0; allowed: a valid integer"),
        ({"seeds": [1, "a"]}, "seeds", "seeds: got 'a'; allowed: a valid integer"),
        (
            {"format": "bmp"},
            "format",
            "format: got 'bmp'; allowed: 'png', 'jpeg', 'webp', 'gif', 'npy', 'npz' or 'raw'",
        ),
        ({"layout": "row"}, "layout", "layout: got 'row'; allowed: 'images' or 'grid'"),
        ({"latents": [[1], [1, 2]]}, "latents", "latents: got rows of [1, 2] numbers; allowed: all of latent_dim"),
        ({"latents": [[1e300] * 16], "labels": 0}, "latents[0][0]", "latents[0][0]: got inf; allowed: finite numbers"),
        ({"timeout_ms": 0}, "timeout_ms", "timeout_ms: got 0; allowed: "),
        ({"timeout_ms": -5}, "timeout_ms", "timeout_ms: got -5; allowed: "),
        ({"priority": "now"}, "priority", "priority: got 'now'; allowed: interactive, bulk"),
    ],
)
async def test_a_wrong_body_is_answered_with_field_value_and_what_is_allowed(
    body: Any, param: str, message: str, client: httpx.AsyncClient
) -> None:
    status, found, named = await refusal(client, body)
    assert (status, named) == (400, param)
    assert found.startswith(message), found


async def test_an_empty_body_is_an_empty_object(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/samples")).status_code == 200


async def test_the_content_type_does_not_matter(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/samples", content=b'{"n": 2}', headers={"Content-Type": "text/plain"})
    assert len(answer.json()["data"]) == 2


async def test_a_timeout_beyond_every_number_is_the_servers_own(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/samples", content=b'{"timeout_ms": 1%s}' % (b"0" * 400))
    assert answer.status_code == 200


@pytest.mark.parametrize("field", ["seeds", "labels", "latents"])
async def test_a_body_with_many_errors_is_refused_at_the_first(field: str, client: httpx.AsyncClient) -> None:
    wrong: Any = {"a": 1} if field == "labels" else "a"
    body = json.dumps({field: [wrong] * 100_000}).encode()
    asked = time.process_time()
    status, message, _ = await refusal(client, body)
    assert status == 400
    assert message.startswith(f"{field}: got ")
    assert time.process_time() - asked < 1, "each of the 100,000 errors was written out"


async def test_a_prompt_that_is_no_class_is_named_prompt(client: httpx.AsyncClient) -> None:
    status, message, param = await refusal(client, {"prompt": "a cat"}, "/v1/images/generations")
    assert (status, param) == (400, "prompt")
    assert message.startswith("prompt: got 'a cat'; allowed: class names 0, 1")


# --- the inference protocol ----------------------------------------------------------------------------------

SEED = {"name": "seed", "datatype": "UINT64", "shape": [1, 1], "data": [7]}
INFER = "/v2/models/tiny/infer"


async def infer(client: httpx.AsyncClient, content: Any, **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return await client.post(INFER, content=body, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_a_compressed_body_is_read(encoding: str, client: httpx.AsyncClient) -> None:
    plain = json.dumps({"inputs": [SEED]}).encode()
    packed = {"gzip": gzip.compress(plain), "deflate": zlib.compress(plain), "identity": plain}[encoding]
    answer = await infer(client, packed, Content_Encoding=encoding)
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["shape"] == [1, 8, 8, 1]


async def test_an_output_may_be_given_by_its_name_only(client: httpx.AsyncClient) -> None:
    answer = await infer(client, {"inputs": [SEED], "outputs": ["images"]})
    assert answer.status_code in (200, 400)


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (gzip.compress(b"{}", mtime=0)[:-9], {"Content_Encoding": "gzip"}, 400, "body: not gzip data"),
        (b"xxxx", {"Content_Encoding": "gzip"}, 400, "body: not gzip data"),
        (
            gzip.compress(bytes(2 << 20), mtime=0),
            {"Content_Encoding": "gzip"},
            413,
            "body: inflates to over 1048576 bytes",
        ),
        (b"{}", {"Content_Encoding": "br"}, 415, "Content-Encoding: got 'br'; allowed: identity, gzip, deflate"),
        (b"{}", {"Inference_Header_Content_Length": "9"}, 400, "Inference-Header-Content-Length: got '9'; allowed: 0"),
        (b"{}", {"Inference_Header_Content_Length": "9" * 5000}, 400, "Inference-Header-Content-Length: got '99"),
        (b"{}", {}, 400, "inputs: got []; allowed: at least one of latents, seed, label, truncation"),
        ({"inputs": 3}, {}, 400, "inputs: got 3; allowed: a list"),
        ({"inputs": [3]}, {}, 400, "inputs[0]: got 3; allowed: an object"),
        ({"inputs": [SEED, SEED]}, {}, 400, "inputs[1].name: got 'seed'; allowed: a tensor name, each once"),
        ({"inputs": [SEED], "extra": 1}, {}, 400, "extra: unknown field, got 1; allowed: id, inputs, outputs"),
        ({"inputs": [SEED], "outputs": ["x"]}, {}, 400, "outputs[0].name: got 'x'; allowed: images"),
        ({"inputs": [SEED], "parameters": {"timeout": 0}}, {}, 400, "parameters.timeout: got 0; allowed: "),
        ({"inputs": [SEED], "parameters": {"timeout": True}}, {}, 400, "parameters.timeout: got True; allowed: "),
        ({"inputs": [{**SEED, "shape": [2, 1]}]}, {}, 400, "inputs.seed: got 1 numbers; allowed: 2 for shape [2, 1]"),
        ({"inputs": [{**SEED, "data": [-1]}]}, {}, 400, "inputs.seed: got -1; allowed: integers from 0 to"),
        ({"inputs": [{**SEED, "data": ["1"]}]}, {}, 400, "inputs.seed.data: got ['1']; allowed: UINT64 numbers"),
    ],
)
async def test_a_wrong_inference_request_is_answered_in_the_protocols_form(
    content: Any, headers: dict[str, str], status: int, message: str, client: httpx.AsyncClient
) -> None:
    answer = await infer(client, content, **headers)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"].startswith(message)


async def test_a_timeout_of_the_protocol_beyond_every_number_is_the_servers_own(client: httpx.AsyncClient) -> None:
    body = b'{"inputs": [%s], "parameters": {"timeout": 1%s}}' % (json.dumps(SEED).encode(), b"0" * 400)
    assert (await infer(client, body)).status_code == 200


async def test_every_refusal_is_counted_under_labels_of_closed_sets(
    client: httpx.AsyncClient, metrics: Metrics
) -> None:
    for number in range(5):
        await client.post("/v1/samples", json={"model": f"made-up-{number}"})
        await client.get(f"/made/up/{number}")
        await client.get(f"/v2/models/made-up-{number}")
    labels = {
        tuple(sample.labels.values())
        for family in metrics.registry.collect()
        if family.name == "latentd_requests"
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert labels == {("", "", "http", "404"), ("", "", "operations", "404"), ("", "", "inference_http", "404")}

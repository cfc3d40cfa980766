"""Bad input gets the kind of the wire contract and a message that names field, value and what is allowed.

One table; each row goes over both transports wherever both can express it.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import numpy as np
import pytest

from service.grpc_api._generated.latentd_v1_generation_pb2 import PRECISION_FP16, Label, SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub


@dataclass(frozen=True)
class Case:
    """`http` is a body (or raw bytes), `grpc` the same as a message; `words` must be in both messages."""

    name: str
    words: tuple[str, ...]
    http: dict[str, Any] | bytes | None = None
    grpc: SampleRequest | None = None
    kind: str = "invalid_request"
    headers: dict[str, str] = field(default_factory=dict)


NAN_ROW = [float("nan"), *([0.0] * 15)]
LIMIT = 2**53 - 1
CASES = [
    Case(
        "unknown model", ("model", "'nobody'", "tiny"), {"model": "nobody"}, SampleRequest(model="nobody"), "not_found"
    ),
    Case("near model", ("'tinny'", "did you mean tiny"), {"model": "tinny"}, SampleRequest(model="tinny"), "not_found"),
    Case("unknown version", ("tiny@9", "versions 1"), {"model": "tiny@9"}, SampleRequest(model="tiny@9"), "not_found"),
    Case("version not a number", ("model", "tiny@x"), {"model": "tiny@x"}, SampleRequest(model="tiny@x")),
    Case("n = 0", ("n:", "got 0", "1 to 256"), {"n": 0}, SampleRequest(n=0)),
    Case("n negative", ("n:", "got -4", "1 to 256"), {"n": -4}, SampleRequest(n=-4)),
    Case("n too large", ("n:", "got 257", "1 to 256"), {"n": 257}, SampleRequest(n=257)),
    Case("n of the wrong type", ("n:", "'two'", "integer"), {"n": "two"}),
    Case("negative seed", ("seed:", "got -1", "0 to 9007199254740991"), {"seed": -1}, SampleRequest(seed=-1)),
    Case(
        "seed above the limit",
        ("seed:", str(LIMIT + 1), str(LIMIT)),
        {"seed": LIMIT + 1},
        SampleRequest(seed=LIMIT + 1),
    ),
    Case(
        "range of seeds passes the limit",
        ("seed:", str(LIMIT), f"at most {LIMIT - 1} for 2 images"),
        {"seed": LIMIT, "n": 2},
        SampleRequest(seed=LIMIT, n=2),
    ),
    Case("one of the seeds", ("seeds:", "got -7"), {"seeds": [1, -7]}, SampleRequest(seeds=[1, -7])),
    Case("seed and seeds", ("seed, seeds", "one of them"), {"seed": 1, "seeds": [1]}, SampleRequest(seed=1, seeds=[1])),
    Case("n differs from seeds", ("n:", "got 3", "2"), {"n": 3, "seeds": [1, 2]}, SampleRequest(n=3, seeds=[1, 2])),
    Case("label name", ("labels:", "'cat'", "0, 1, 2"), {"labels": "cat"}, SampleRequest(labels=[Label(name="cat")])),
    Case("label index", ("labels:", "got 10", "0 to 9"), {"labels": 10}, SampleRequest(labels=[Label(index=10)])),
    Case("negative label", ("labels:", "got -1", "0 to 9"), {"labels": -1}, SampleRequest(labels=[Label(index=-1)])),
    Case(
        "number of labels",
        ("labels:", "got 2", "1 or 3"),
        {"n": 3, "labels": [1, 2]},
        SampleRequest(n=3, labels=[Label(index=1), Label(index=2)]),
    ),
    Case(
        "label on an unlabelled model",
        ("labels:", "got [1]", "plain@1 has no classes"),
        {"model": "plain", "labels": 1},
        SampleRequest(model="plain", labels=[Label(index=1)]),
    ),
    Case("truncation 0", ("truncation:", "got 0", "above 0"), {"truncation": 0.0}, SampleRequest(truncation=0.0)),
    Case("truncation above 1", ("truncation:", "1.5", "at most 1"), {"truncation": 1.5}, SampleRequest(truncation=1.5)),
    Case(
        "latents of the wrong width",
        ("latents:", "15", "16"),
        {"latents": [[0.0] * 15], "labels": 1},
        SampleRequest(latents=[0.0] * 15, labels=[Label(index=1)]),
    ),
    Case("no latents", ("latents:", "got []", "one row"), {"latents": []}),
    Case("empty latents", ("latents:", "got shape [1, 0]"), {"latents": [[]], "labels": 1}),
    Case("ragged latents", ("latents:", "[15, 16]"), {"latents": [[0.0] * 15, [0.0] * 16], "labels": 1}),
    Case(
        "NaN latents",
        ("latents[0][0]:", "nan", "finite"),
        json.dumps({"latents": [NAN_ROW], "labels": 1}).encode(),
        SampleRequest(latents=NAN_ROW, labels=[Label(index=1)]),
    ),
    Case(
        "infinite latents",
        ("latents[0][1]:", "inf", "finite"),
        {"latents": [[0.0, 1e39, *([0.0] * 14)]], "labels": 1},
        SampleRequest(latents=[0.0, np.inf, *([0.0] * 14)], labels=[Label(index=1)]),
    ),
    Case(
        "latents without labels",
        ("labels:", "one per latent"),
        {"latents": [[0.0] * 16]},
        SampleRequest(latents=[0.0] * 16),
    ),
    Case("precision", ("precision:", "'fp64'", "fp32, int8"), {"precision": "fp64"}),
    Case(
        "precision the model lacks",
        ("precision:", "'fp16'", "fp32, int8"),
        {"precision": "fp16"},
        SampleRequest(precision=PRECISION_FP16),
    ),
    Case("priority", ("priority:", "'urgent'", "interactive, bulk"), {"priority": "urgent"}),
    Case("timeout", ("timeout_ms:", "got 0", "at least 1"), {"timeout_ms": 0}),
    Case("format", ("format:", "'bmp'", "png"), {"format": "bmp"}),
    Case("layout", ("layout:", "'images'", "grid"), {"n": 2, "format": "png", "layout": "images"}),
    Case("unknown field", ("sede:", "did you mean seed"), {"sede": 1}),
    Case("body not JSON", ("body:", "not JSON"), b"{n: 1"),
    Case("body not an object", ("body:", "object"), b"[1]"),
    Case("wrong Accept", ("Accept:", "text/csv", "image/png"), {}, headers={"Accept": "text/csv"}),
    Case("Accept against format", ("Accept:", "image/png", "npy"), {"format": "npy"}, headers={"Accept": "image/png"}),
    Case("unknown enum value", ("format:", "got 99", "FORMAT_PNG"), grpc=SampleRequest(format=99)),  # type: ignore[arg-type]
    Case("empty label", ("labels:", "index or name"), grpc=SampleRequest(labels=[Label()])),
]

HTTP_STATUS = {"invalid_request": 400, "not_found": 404}
GRPC_STATUS = {
    "invalid_request": grpc.StatusCode.INVALID_ARGUMENT,
    "not_found": grpc.StatusCode.NOT_FOUND,
}


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


OVER_HTTP = [case for case in CASES if case.http is not None]
OVER_GRPC = [case for case in CASES if case.grpc is not None]


@pytest.mark.parametrize("case", OVER_HTTP, ids=names(OVER_HTTP))
def test_over_http(http: httpx.Client, case: Case) -> None:
    content = case.http if isinstance(case.http, bytes) else json.dumps(case.http).encode()
    answer = http.post("/v1/samples", content=content, headers=case.headers)
    error = answer.json()["error"]
    assert answer.status_code == HTTP_STATUS[case.kind], error
    assert error["code"] == case.kind
    assert [word for word in case.words if word not in error["message"]] == [], error["message"]
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("case", OVER_GRPC, ids=names(OVER_GRPC))
def test_over_grpc(channel: grpc.Channel, case: Case) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        GenerationStub(channel).Sample(case.grpc or SampleRequest())
    message = caught.value.details() or ""
    assert caught.value.code() == GRPC_STATUS[case.kind], message
    assert [word for word in case.words if word not in message] == [], message


def test_unknown_paths_and_methods_answer_in_the_body_of_their_family(http: httpx.Client) -> None:
    unknown = http.get("/v1/nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")
    near = http.post("/v1/sample", json={})
    assert near.json()["error"]["message"].startswith("path: got POST /v1/sample (did you mean /v1/samples?)")
    wrong_method = http.get("/v1/samples")
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")
    assert wrong_method.json()["error"]["message"] == "method: got GET for /v1/samples; allowed: POST"
    protocol = http.get("/v2/nothing")
    assert protocol.status_code == 404
    assert isinstance(protocol.json()["error"], str)


def test_a_body_over_the_limit_is_refused(http: httpx.Client) -> None:
    declared = http.post("/v1/samples", content=b" " * ((16 << 20) + 1))
    assert (declared.status_code, declared.json()["error"]["code"]) == (413, "too_large")

    def chunks() -> Any:
        for _ in range(17):
            yield b" " * (1 << 20)

    streamed = http.post("/v1/samples", content=chunks())
    assert (streamed.status_code, streamed.json()["error"]["code"]) == (413, "too_large")


def test_after_all_that_a_good_request_is_served(http: httpx.Client) -> None:
    assert http.post("/v1/samples", json={"n": 4}).status_code == 200

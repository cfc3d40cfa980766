"""The contract is what the golden files say; a change is either welcome or refused by name."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract import current
from tests.contract.breaking import BREAKING
from tests.contract.current import CURRENT
from tests.contract.refresh import GOLDEN, read, refresh

Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("name", CURRENT)
def test_the_code_says_what_the_golden_file_says(name: str) -> None:
    now = json.loads(json.dumps(CURRENT[name]()))
    assert BREAKING[name](read(name), now) == [], "this breaks clients"
    assert now == read(name), "the contract has grown: `make golden`, and a line in the changelog"


def body(document: dict[str, Any], path: str) -> dict[str, Any]:
    schema: dict[str, Any] = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return schema


def answer(document: dict[str, Any], path: str) -> dict[str, Any]:
    content: dict[str, Any] = document["paths"][path]["post"]["responses"]["200"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def message(files: dict[str, Any], name: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = files["latentd/v1/generation.proto"]["message_type"]
    return next(each for each in messages if each["name"] == name)


BREAKS: list[tuple[str, Edit, str]] = [
    ("openapi", lambda new: new["paths"].pop("/v1/samples"), "POST /v1/samples is gone"),
    ("openapi", lambda new: body(new, "/v1/samples")["properties"].pop("seeds"), "POST /v1/samples.seeds is gone"),
    ("openapi", lambda new: body(new, "/v1/samples").update(required=["n"]), "POST /v1/samples.n is now required"),
    (
        "openapi",
        lambda new: body(new, "/v1/samples")["properties"].update(n={"type": "null"}),
        "POST /v1/samples.n no longer takes integer",
    ),
    (
        "openapi",
        lambda new: body(new, "/v1/interpolations")["properties"]["mode"]["enum"].remove("lerp"),
        "POST /v1/interpolations.mode no longer takes lerp",
    ),
    (
        "openapi",
        lambda new: new["paths"]["/v1/samples"]["post"]["responses"]["200"]["content"].pop("image/png"),
        "POST /v1/samples no longer answers with image/png",
    ),
    (
        "openapi",
        lambda new: answer(new, "/v1/samples")["properties"]["data"]["items"]["properties"].pop("label"),
        "POST /v1/samples data[] no longer answers label",
    ),
    (
        "openapi",
        lambda new: answer(new, "/v1/samples")["required"].remove("model"),
        "POST /v1/samples may answer without model",
    ),
    (
        "openapi",
        lambda new: new["paths"]["/v1/models"]["get"].update({"x-latentd-scope": "admin"}),
        "GET /v1/models needs scope admin, not None",
    ),
    ("protos", lambda new: new.pop("latentd/v1/models.proto"), "latentd/v1/models.proto is gone"),
    (
        "protos",
        lambda new: message(new, "SampleRequest")["field"].pop(0),
        "latentd/v1/generation.proto.SampleRequest.model is gone",
    ),
    (
        "protos",
        lambda new: message(new, "SampleRequest")["field"][1].update(number=99),
        "latentd/v1/generation.proto.SampleRequest.n changes its number: 2 to 99",
    ),
    (
        "protos",
        lambda new: new["latentd/v1/generation.proto"]["service"][0]["method"][0].update(server_streaming=True),
        "latentd/v1/generation.proto.Generation.Sample changes its server_streaming: None to True",
    ),
    ("metrics", lambda new: new.pop("latentd_images_total"), "latentd_images_total is gone"),
    (
        "metrics",
        lambda new: new["latentd_requests_total"]["labels"].append("path"),
        "latentd_requests_total changes from",
    ),
]


@pytest.mark.parametrize(("name", "edit", "words"), BREAKS, ids=[words for _, _, words in BREAKS])
def test_what_breaks_a_client_is_named(name: str, edit: Edit, words: str) -> None:
    new = copy.deepcopy(read(name))
    edit(new)
    problems = BREAKING[name](read(name), new)
    assert len(problems) == 1
    assert problems[0].startswith(words)


GROWS: list[tuple[str, Edit]] = [
    ("openapi", lambda new: new["paths"].update({"/v1/new": {"get": {"responses": {}}}})),
    ("openapi", lambda new: body(new, "/v1/samples")["properties"].update(new={"type": "string"})),
    ("protos", lambda new: message(new, "SampleRequest")["field"].append({"name": "new", "number": 99})),
    ("metrics", lambda new: new.update(latentd_new={"type": "gauge", "labels": []})),
]


@pytest.mark.parametrize(("name", "edit"), GROWS)
def test_what_is_added_breaks_nobody(name: str, edit: Edit) -> None:
    new = copy.deepcopy(read(name))
    edit(new)
    assert BREAKING[name](read(name), new) == []


def test_a_refresh_refuses_what_breaks_clients_until_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for golden in GOLDEN.iterdir():
        (tmp_path / golden.name).write_bytes(golden.read_bytes())
    metrics = current.metrics()
    del metrics["latentd_images_total"]
    monkeypatch.setitem(CURRENT, "metrics", lambda: metrics)
    assert refresh(tmp_path) == ["latentd_images_total is gone"]
    assert "latentd_images_total" in (tmp_path / "metrics.json").read_text()
    assert refresh(tmp_path, breaking=True) == []
    assert "latentd_images_total" not in (tmp_path / "metrics.json").read_text()

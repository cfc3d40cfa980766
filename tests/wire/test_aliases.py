"""Aliases with a canary, loading and unloading: over HTTP, native gRPC and the inference protocol."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from runtime.store import DirectoryStore
from service.grpc_api._generated import latentd_v1_models_pb2 as pb
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.grpc_api._generated.latentd_v1_models_pb2_grpc import ModelsStub
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root: Path = tmp_path_factory.mktemp("aliases")
    store = DirectoryStore(root / "models")
    for variant in range(2):
        publish_tiny(store, "tiny", variant=variant, precisions=("fp32",))
    publish_tiny(store, "other", precisions=("fp32",))
    with running_server(store.root, root / "state", "--default-model", "tiny") as process:
        yield process


@pytest.fixture(params=["http", "grpc"])
def triton(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[Any]:
    module, address = {
        "http": (tritonclient.http, server.http.removeprefix("http://")),
        "grpc": (tritonclient.grpc, server.grpc),
    }[request.param]
    client = module.InferenceServerClient(address)
    yield client
    client.close()


def version(http: httpx.Client, model: str) -> int:
    answer = http.post("/v1/samples", json={"model": model})
    assert answer.status_code == 200, answer.text
    found: int = answer.json()["version"]
    return found


def test_an_alias_is_set_used_listed_and_deleted(http: httpx.Client, channel: grpc.Channel) -> None:
    made = http.put("/v1/aliases/stable", json={"target": "tiny@1"})
    assert (made.status_code, made.json()) == (
        200,
        {"object": "alias", "alias": "stable", "target": "tiny@1", "canary": None},
    )
    assert version(http, "stable") == 1
    assert GenerationStub(channel).Sample(SampleRequest(model="stable")).version == 1
    assert http.get("/v1/models/stable").json()["aliases"] == ["stable"]
    assert http.get("/v1/aliases/stable").json() == made.json()
    http.put("/v1/aliases/stable", json={"target": "tiny@2"})
    assert version(http, "stable") == 2
    assert [alias["alias"] for alias in http.get("/v1/aliases").json()["data"]] == ["stable"]
    assert http.delete("/v1/aliases/stable").status_code == 204
    for answer in (http.get("/v1/aliases/stable"), http.delete("/v1/aliases/stable")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_canary_takes_its_share_and_each_answer_says_who_made_it(http: httpx.Client) -> None:
    http.put("/v1/aliases/split", json={"target": "tiny@1", "canary": {"target": "tiny@2", "weight": 0.5}})
    counts: Counter[int] = Counter()
    for seed in range(120):
        answer = http.post("/v1/samples", json={"model": "split", "seed": seed}).json()
        counts[answer["version"]] += 1
        again = http.post("/v1/samples", json={"model": f"tiny@{answer['version']}", "seed": seed}).json()
        assert again["data"] == answer["data"]
    assert counts[1] + counts[2] == 120
    assert 30 < counts[2] < 90


def test_the_same_over_grpc(channel: grpc.Channel) -> None:
    stub = ModelsStub(channel)
    canary = pb.Alias.Canary(target="other@1", weight=0.25)
    alias = pb.Alias(name="mixed", target="tiny@2", canary=canary)
    assert stub.SetAlias(pb.SetAliasRequest(alias=alias)) == alias
    assert alias in stub.ListAliases(pb.ListAliasesRequest()).aliases
    stub.DeleteAlias(pb.DeleteAliasRequest(name="mixed"))
    assert alias not in stub.ListAliases(pb.ListAliasesRequest()).aliases
    for wrong, code in (
        (pb.Alias(name="tiny", target="tiny@1"), grpc.StatusCode.FAILED_PRECONDITION),
        (pb.Alias(name="x", target="tiny@9"), grpc.StatusCode.NOT_FOUND),
        (pb.Alias(name="x", target="tiny"), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.Alias(name="X", target="tiny@1"), grpc.StatusCode.INVALID_ARGUMENT),
        (
            pb.Alias(name="x", target="tiny@1", canary=pb.Alias.Canary(target="tiny@2", weight=2)),
            grpc.StatusCode.INVALID_ARGUMENT,
        ),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stub.SetAlias(pb.SetAliasRequest(alias=wrong))
        assert caught.value.code() == code, caught.value.details()


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("tiny", {"target": "tiny@1"}, 409, "'tiny', which is a model"),
        ("x", {"target": "tiny@9"}, 404, "'tiny@9'"),
        ("x", {"target": "tiny"}, 400, "target: got 'tiny'; allowed: name@version"),
        ("x", {}, 400, "target: got nothing"),
        ("x", {"target": "tiny@1", "canary": {"target": "tiny@2", "weight": 2}}, 400, "canary"),
        ("x", {"target": "tiny@1", "weight": 1}, 400, "weight: unknown field"),
        ("X", {"target": "tiny@1"}, 400, "alias: got 'X'"),
    ],
)
def test_a_wrong_alias_is_refused(http: httpx.Client, name: str, body: dict[str, Any], status: int, words: str) -> None:
    answer = http.put(f"/v1/aliases/{name}", json=body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_triton_unloads_loads_and_lists(triton: Any) -> None:
    as_json = {"as_json": True} if isinstance(triton, tritonclient.grpc.InferenceServerClient) else {}

    def index() -> dict[tuple[str, str], str]:
        listed = triton.get_model_repository_index(**as_json)
        models = listed["models"] if isinstance(listed, dict) else listed
        return {(each["name"], each["version"]): each["state"] for each in models}

    assert index()["other", "1"] == "READY"
    triton.unload_model("other")
    assert not triton.is_model_ready("other")
    assert index()["other", "1"] == "UNAVAILABLE"
    triton.load_model("other")
    assert triton.is_model_ready("other")
    with pytest.raises(InferenceServerException, match="nothing"):
        triton.load_model("nothing")
    with pytest.raises(InferenceServerException, match="a package is served as it is"):
        triton.load_model("other", config="{}")


def test_native_grpc_unloads_and_loads(channel: grpc.Channel) -> None:
    stub = ModelsStub(channel)
    stub.UnloadModel(pb.UnloadModelRequest(model="other"))
    assert [model.name for model in stub.ListModels(pb.ListModelsRequest()).models] == ["tiny"]
    with pytest.raises(grpc.RpcError) as caught:
        stub.UnloadModel(pb.UnloadModelRequest(model="other"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert stub.LoadModel(pb.LoadModelRequest(model="other")).version == 1


def test_triton_reads_configuration_and_statistics(triton: Any) -> None:
    over_grpc = isinstance(triton, tritonclient.grpc.InferenceServerClient)
    as_json = {"as_json": True} if over_grpc else {}
    config = triton.get_model_config("tiny", "2", **as_json)
    config = config["config"] if over_grpc else config
    assert (config["name"], config["platform"], config["max_batch_size"]) == ("tiny", "onnxruntime_onnx", 1024)
    inputs = {each["name"]: (each["data_type"], [int(side) for side in each["dims"]]) for each in config["input"]}
    assert inputs["latents"] == ("TYPE_FP32", [16])
    assert inputs["seed"] == ("TYPE_UINT64", [1])
    assert [int(side) for side in config["output"][0]["dims"]] == [8, 8, 1]

    def counts() -> tuple[int, int, int]:
        (found,) = triton.get_inference_statistics("tiny", "2", **as_json)["model_stats"]
        timed = found["inference_stats"]
        assert {"success", "fail", "queue", "compute_input", "compute_infer", "compute_output"} <= set(timed)
        success = int(timed["success"].get("count", 0))
        return int(found.get("inference_count", 0)), success, int(timed["fail"].get("count", 0))

    module = tritonclient.grpc if over_grpc else tritonclient.http
    before = counts()
    seeds = module.InferInput("seed", [5, 1], "UINT64")
    seeds.set_data_from_numpy(np.arange(5, dtype=np.uint64).reshape(5, 1))
    triton.infer("tiny", [seeds])
    bad = module.InferInput("latents", [1, 3], "FP32")
    bad.set_data_from_numpy(np.zeros((1, 3), dtype=np.float32))
    with pytest.raises(InferenceServerException):
        triton.infer("tiny", [bad])
    after = counts()
    assert (after[0] - before[0], after[1] - before[1], after[2] - before[2]) == (5, 1, 1)


def test_a_version_is_deleted_for_ever_unless_an_alias_stands_for_it(server: ServerProcess, http: httpx.Client) -> None:
    store = DirectoryStore(server.log.parent.parent / "models")
    publish_tiny(store, "brief", precisions=("fp32",))
    assert http.post("/v2/repository/models/brief/load").status_code == 200
    http.put("/v1/aliases/kept", json={"target": "brief@1"})
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.ConflictError, match="the alias kept stands for brief@1"):
            client.models.delete("brief@1")
        http.delete("/v1/aliases/kept")
        for wrong, error in (("brief", openai.BadRequestError), ("brief@2", openai.NotFoundError)):
            with pytest.raises(error):
                client.models.delete(wrong)
        assert client.models.delete("brief@1").deleted
    assert "brief" not in store.versions()
    assert http.get("/v1/models/brief").status_code == 404
    publish_tiny(store, "brief", precisions=("fp32",))
    assert store.versions()["brief"] == [2], "a number is not given again"


def test_aliases_survive_a_restart(tmp_path: Path, server: ServerProcess) -> None:
    store = server.log.parent.parent / "models"
    with running_server(store, tmp_path / "state") as first:
        assert httpx.put(f"{first.http}/v1/aliases/stable", json={"target": "tiny@1"}).status_code == 200
    with running_server(store, tmp_path / "state") as second:
        assert httpx.post(f"{second.http}/v1/samples", json={"model": "stable"}).json()["version"] == 1

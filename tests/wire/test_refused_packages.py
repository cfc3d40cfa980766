"""A package that does not verify is refused with its reason while the others serve."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from onnx import TensorProto, helper

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess, running_server, start_latentd
from tests.kit.tiny_package import edit_manifest, flip_byte, publish_tiny, reseal


def future_schema(folder: Path) -> None:
    def edit(manifest: dict[str, Any]) -> None:
        manifest["schema_version"] = 99

    edit_manifest(folder, edit)


def crash(folder: Path) -> None:
    """A graph of a megabyte whose functions call each other so deep that onnxruntime's stack overflows."""
    own = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    calls = [helper.make_node(f"f{depth + 1}", ["x"], ["y"], domain="own") for depth in range(_DEEP - 1)]
    bodies = [*calls, helper.make_node("Identity", ["x"], ["y"])]
    functions = [
        helper.make_function("own", f"f{depth}", ["x"], ["y"], [body], own) for depth, body in enumerate(bodies)
    ]
    given = helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["n", 16])
    made = helper.make_tensor_value_info("images", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("f0", ["latents"], ["images"], domain="own")], "g", [given], [made])
    model = helper.make_model(graph, opset_imports=own, ir_version=9, functions=functions)
    (folder / "generator.onnx").write_bytes(model.SerializeToString())
    reseal(folder)


_DEEP = 20_000
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (lambda folder: flip_byte(folder / "generator.onnx", 100), "generator.onnx has SHA-256"),
    "missing": (lambda folder: (folder / "generator.int8.onnx").unlink(), "generator.int8.onnx cannot be read"),
    "future": (future_schema, "schema_version is 99"),
    "crash": (crash, "loading it ends the process that does, by SIGSEGV"),
    "manifest": (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
}


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path / "models")


def test_each_is_refused_with_its_reason_while_the_others_serve(store: DirectoryStore, tmp_path: Path) -> None:
    publish_tiny(store, "good")
    for name, (damage, _) in DAMAGE.items():
        damage(publish_tiny(store, name).path)
    with running_server(store.root, tmp_path / "state") as server, grpc.insecure_channel(server.grpc) as channel:
        assert httpx.post(f"{server.http}/v1/samples", json={"model": "good"}).status_code == 200
        assert [model["id"] for model in httpx.get(f"{server.http}/v1/models").json()["data"]] == ["good"]
        for name, (_, reason) in DAMAGE.items():
            answer = httpx.post(f"{server.http}/v1/samples", json={"model": name})
            assert answer.status_code == 404
            assert reason in answer.json()["error"]["message"]
            with pytest.raises(grpc.RpcError) as caught:
                GenerationStub(channel).Sample(SampleRequest(model=name))
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
            assert reason in (caught.value.details() or "")
        metrics = httpx.get(f"{server.http}/metrics").text
        assert 'latentd_model_state{model="flipped",state="refused",version="1"} 1.0' in metrics
        assert "refused flipped@1" in server.log.read_text()


def test_a_refused_new_version_leaves_the_old_one_serving(store: DirectoryStore, tmp_path: Path) -> None:
    publish_tiny(store, "model", variant=1)
    with running_server(store.root, tmp_path / "state", "--poll-seconds", "0.1") as server:
        with store.stage() as staged:  # a version that is damaged before anybody can see it
            package = publish_tiny(DirectoryStore(staged / "elsewhere"), "model", variant=2)
            flip_byte(package.path / "generator.onnx", 100)
            edit_manifest(package.path, lambda manifest: manifest.update(version=2))
            package.path.rename(store.root / "model" / "2")
        _wait(lambda: _card(server)["refused"] != {})
        assert _card(server)["version"] == 1
        assert "generator.onnx has SHA-256" in _card(server)["refused"]["model@2"]
        assert httpx.post(f"{server.http}/v1/samples").json()["version"] == 1

        publish_tiny(store, "model", variant=3)
        _wait(lambda: _card(server)["version"] == 3)
        assert httpx.post(f"{server.http}/v1/samples").json()["version"] == 3
        old = httpx.post(f"{server.http}/v1/samples", json={"model": "model@1"})
        assert json.loads(old.content)["version"] == 1


def test_an_empty_store_is_not_ready_until_a_model_arrives(store: DirectoryStore, tmp_path: Path) -> None:
    publish_tiny(store, "first")
    (store.root / "first").rename(tmp_path / "first")
    state = tmp_path / "state"
    state.mkdir()
    process = start_latentd(
        *("serve", "--store", str(store.root), "--state", str(state), "--http-port", "0", "--grpc-port", "0"),
        *("--poll-seconds", "0.1"),
        log=state / "log",
    )
    try:
        _wait((state / "server.json").exists)
        url = json.loads((state / "server.json").read_text())["http"]
        waiting = httpx.get(f"{url}/readyz")
        assert (waiting.status_code, waiting.json()["reason"]) == (503, "the store holds no model yet")
        assert httpx.get(f"{url}/livez").status_code == 200
        (tmp_path / "first").rename(store.root / "first")
        _wait(lambda: httpx.get(f"{url}/readyz").status_code == 200)
    finally:
        process.terminate()
        assert process.wait(15) == 0


def _card(server: ServerProcess) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.http}/v1/models/model").json()
    return found


def _wait(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "condition not met in time"
        time.sleep(0.05)

"""Every method of three ecosystems' clients, and every route and call that we document for them.

The clients' methods are enumerated from the installed packages, ours from the OpenAPI document and the descriptors;
what was answered is read from the server's own log. So neither a new method of a client nor one of ours is left out.
"""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from tritonclient.utils import InferenceServerException

from runtime.store import DirectoryStore
from service.grpc_api._generated import latentd_v1_fine_tuning_pb2 as tuning
from service.grpc_api._generated import latentd_v1_generation_pb2 as generation
from service.grpc_api._generated import latentd_v1_models_pb2 as models
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningStub
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.grpc_api._generated.latentd_v1_models_pb2_grpc import ModelsStub
from tests.kit.archives import class_folders, png, zip_of
from tests.kit.proto_modules import all_methods
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny, publish_tunable

ARCHIVE = zip_of(class_folders(10))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """It runs no jobs, so that each stays where a test has put it."""
    root: Path = tmp_path_factory.mktemp("methods")
    store = DirectoryStore(root / "models")
    publish_tunable(store, "tiny")
    publish_tiny(store, "seer", classes=(), encoder=True, precisions=("fp32",))
    for _ in range(2):
        publish_tiny(store, "spare", precisions=("fp32",))
    args = ("--job-slots", "0", "--default-model", "tiny", "--log-format", "json", "--log-level", "debug")
    with running_server(store.root, root / "state", *args) as process:
        yield process


class Answered:
    """What the server answered well since this was made."""

    def __init__(self, server: ServerProcess) -> None:
        self._log = server.log
        self._start = server.log.stat().st_size

    def calls(self) -> set[str]:
        """``GET /path`` or ``/package.Service/Method``."""
        lines = self._log.read_bytes()[self._start :].splitlines()
        access = [line for line in map(json.loads, lines) if line["logger"] == "latentd.access"]
        return {f"{line['method']} {line.get('path', '')}".strip() for line in access if line["code"] in ("200", "OK")}

    def missing(self, wanted: set[str]) -> set[str]:
        """Those of `wanted`, which may have ``{names}``, that are not among them."""
        found = self.calls()
        patterns = {call: re.sub(r"\\\{\w+\\\}", "[^/ ]+", re.escape(call)) for call in wanted}
        return {call for call, pattern in patterns.items() if not any(re.fullmatch(pattern, each) for each in found)}


def routes(server: ServerProcess, *prefixes: str) -> set[str]:
    """Every documented route under one of `prefixes`."""
    paths = httpx.get(f"{server.http}/openapi.json").json()["paths"]
    return {
        f"{method.upper()} {path}"
        for path, operations in paths.items()
        for method in operations
        if path.startswith(prefixes)
    }


def methods_of(resource: Any) -> set[str]:
    """The public methods of a client's class, and those that lead to others."""
    return {name for name, _ in inspect.getmembers(resource, callable) if not name.startswith("_")}


# --- openai ---------------------------------------------------------------------------------------------------------

OPENAI_METHODS = {
    openai.resources.Models: {"list", "retrieve", "delete"},
    openai.resources.Images: {"generate", "create_variation"},
    openai.resources.Files: {
        *("create", "list", "retrieve", "content", "retrieve_content", "delete", "wait_for_processing"),
    },
    openai.resources.fine_tuning.Jobs: {"create", "list", "retrieve", "cancel", "pause", "resume", "list_events"},
    openai.resources.fine_tuning.jobs.Checkpoints: {"list"},
}
"""What `use_openai` calls of each resource."""
NOT_OFFERED = {(openai.resources.Images, "edit")}
"""No model of ours edits an image by words; the contract does not name it."""
OURS_ALONE = {"POST /v1/fine_tuning/jobs/{job_id}/promote"}
"""Among OpenAI's paths, and no method of its client."""


def use_openai(client: openai.OpenAI) -> None:
    """Every method of `OPENAI_METHODS`."""
    assert {model.id for model in client.models.list()} == {"seer", "spare", "tiny"}
    assert client.models.retrieve("tiny").id == "tiny"
    assert client.models.delete("spare@1").deleted
    image = client.images.generate(model="tiny", prompt="3", n=2).data
    assert image is not None
    assert len(image) == 2
    streamed = list(client.images.generate(model="tiny", prompt="3", n=2, stream=True))
    assert len(streamed) == 2
    assert client.images.create_variation(model="seer", image=png(1)).data
    file = client.files.create(file=("a.zip", ARCHIVE), purpose="fine-tune")
    assert [each.id for each in client.files.list()] == [file.id]
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == ARCHIVE
    with pytest.warns(DeprecationWarning):
        client.files.retrieve_content(file.id)
    assert client.files.wait_for_processing(file.id).status == "processed"
    jobs = client.fine_tuning.jobs
    job = jobs.create(model="tiny", training_file=file.id)
    assert [each.id for each in jobs.list()] == [job.id]
    assert jobs.retrieve(job.id) == job
    jobs.pause(job.id)
    assert jobs.resume(job.id).status == "queued"
    assert jobs.cancel(job.id).status == "cancelled"
    assert len(list(jobs.list_events(job.id))) == 4
    assert list(jobs.checkpoints.list(job.id)) == []
    assert client.files.delete(file.id).deleted


def test_openai(server: ServerProcess) -> None:
    for resource, called in OPENAI_METHODS.items():
        refused = {name for of, name in NOT_OFFERED if of is resource}
        ways = {"with_raw_response", "with_streaming_response", "checkpoints"}  # to the same methods
        assert methods_of(resource) - ways == called | refused, resource
    answered = Answered(server)
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
        use_openai(client)
        with pytest.raises(openai.NotFoundError, match="path: got POST /v1/images/edits"):
            client.images.edit(image=png(1), prompt="3")
    documented = routes(server, "/v1/models", "/v1/images", "/v1/files", "/v1/fine_tuning")
    assert answered.missing(documented - OURS_ALONE) == set()


async def test_openai_with_asyncio(server: ServerProcess) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
        assert "tiny" in [model.id async for model in client.models.list()]
        plain = await client.images.generate(model="tiny", prompt="3", n=3, extra_body={"seed": 1})
        stream = await client.images.generate(model="tiny", prompt="3", n=3, extra_body={"seed": 1}, stream=True)
        assert plain.data is not None
        assert [event.b64_json async for event in stream] == [image.b64_json for image in plain.data]
        with pytest.raises(openai.NotFoundError):
            await client.images.generate(model="nothing", prompt="")


# --- tritonclient ---------------------------------------------------------------------------------------------------

TRITON = {
    "http": tritonclient.http,
    "grpc": tritonclient.grpc,
    "http with asyncio": tritonclient.http.aio,
    "grpc with asyncio": tritonclient.grpc.aio,
}
CALLS: dict[str, list[tuple[str, ...]]] = {
    "is_server_live": [()],
    "is_server_ready": [()],
    "is_model_ready": [("tiny",), ("tiny", "1")],
    "get_server_metadata": [()],
    "get_model_metadata": [("tiny",), ("tiny", "1")],
    "get_model_config": [("tiny",), ("tiny", "1")],
    "get_inference_statistics": [(), ("tiny",), ("tiny", "1")],
    "get_model_repository_index": [()],
    "unload_model": [("spare",)],
    "load_model": [("spare",)],
}
"""Method → arguments of its calls."""
INFERENCES = {"infer", "async_infer", "stream_infer", "start_stream", "async_stream_infer", "stop_stream"}
"""Those that a client has of them are called by `infer_in_every_way`."""
REFUSED: dict[str, tuple[Any, ...]] = {
    "get_trace_settings": (),
    "update_trace_settings": (),
    "get_log_settings": (),
    "update_log_settings": ({"log_info": True},),
    "get_system_shared_memory_status": (),
    "register_system_shared_memory": ("a", "/a", 8),
    "unregister_system_shared_memory": (),
    "get_cuda_shared_memory_status": (),
    "register_cuda_shared_memory": ("a", b"YQ==", 0, 8),
    "unregister_cuda_shared_memory": (),
}
"""Triton's own, outside the protocol and the contract: a client learns so, and nothing breaks."""
IN_THE_CLIENT = {
    "close",
    "plugin",
    "register_plugin",
    "unregister_plugin",
    "generate_request_body",
    "parse_response_body",
}
"""They ask the server nothing."""


async def result_of(call: Any) -> Any:
    """Of a client's method, with or without asyncio."""
    return await call if inspect.isawaitable(call) else call


async def infer_in_every_way(module: Any, client: Any) -> None:
    """The same three images by every method that the client has; the one in the class's order comes first."""
    tensor = (tritonclient.http if "http" in module.__name__ else tritonclient.grpc).InferInput(
        "seed", [3, 1], "UINT64"
    )
    tensor.set_data_from_numpy(np.array([[1], [2], [3]], dtype=np.uint64))
    expected = (await result_of(client.infer("tiny", [tensor]))).as_numpy("images")
    found = [(await result_of(client.infer("tiny", [tensor], model_version="1"))).as_numpy("images")]
    results: Queue[Any] = Queue()
    if module is tritonclient.http:
        found.append(client.async_infer("tiny", [tensor]).get_result().as_numpy("images"))
    if module is tritonclient.grpc:
        client.async_infer("tiny", [tensor], lambda result, error: results.put((result, error)))
        client.start_stream(lambda result, error: results.put((result, error)))
        client.async_stream_infer("tiny", [tensor])
        for _ in range(2):
            result, error = results.get(timeout=20)
            assert error is None
            found.append(result.as_numpy("images"))
        client.stop_stream()
    if module is tritonclient.grpc.aio:

        async def requests() -> Any:
            for _ in range(2):
                yield {"model_name": "tiny", "inputs": [tensor]}

        async for result, error in client.stream_infer(requests()):
            assert error is None
            found.append(result.as_numpy("images"))
    assert len(found) > 1 or module is tritonclient.http.aio
    assert all(np.array_equal(images, expected) for images in found)


@pytest.mark.parametrize("way", TRITON)
async def test_tritonclient(server: ServerProcess, way: str) -> None:
    module, over_http = TRITON[way], way.startswith("http")
    own = methods_of(module.InferenceServerClient)
    assert own - {*CALLS, *REFUSED, *INFERENCES, *IN_THE_CLIENT} == set()
    assert {*CALLS, *REFUSED, "infer"} <= own
    answered = Answered(server)
    client = module.InferenceServerClient(server.http.removeprefix("http://") if over_http else server.grpc)
    try:
        for method, calls in CALLS.items():
            for arguments in calls:
                answer = await result_of(getattr(client, method)(*arguments))
                assert not method.startswith("is_") or answer is True, method
        await infer_in_every_way(module, client)
        for method, arguments in REFUSED.items():
            with pytest.raises(InferenceServerException) as caught:
                await result_of(getattr(client, method)(*arguments))
            assert str(caught.value.status()) == ("404" if over_http else "StatusCode.UNIMPLEMENTED"), method
    finally:
        await result_of(client.close())
    streams = {"/inference.GRPCInferenceService/ModelStreamInfer"}
    wanted = routes(server, "/v2") if over_http else calls_of("inference") - (streams if "aio" not in way else set())
    assert answered.missing(wanted) == set()


# --- native gRPC ----------------------------------------------------------------------------------------------------


def calls_of(package: str) -> set[str]:
    """Every call of a package's services."""
    return {
        f"/{method.containing_service.full_name}/{method.name}"
        for method in all_methods()
        if method.containing_service.file.package == package
    }


def use_native_grpc(channel: grpc.Channel) -> None:
    """Every call of `latentd.v1`."""
    draw, serve, tune = GenerationStub(channel), ModelsStub(channel), FineTuningStub(channel)
    assert len(draw.Sample(generation.SampleRequest(n=2)).images) == 2
    assert len(list(draw.SampleStream(generation.SampleRequest(n=2)))) == 2
    assert len(draw.Interpolate(generation.InterpolateRequest(from_seed=1, to_seed=2, steps=3)).images) == 3
    assert len(serve.ListModels(models.ListModelsRequest()).models) == 3
    assert serve.GetModel(models.GetModelRequest(model="tiny")).latent_dim == 16
    serve.UnloadModel(models.UnloadModelRequest(model="seer"))
    assert serve.LoadModel(models.LoadModelRequest(model="seer")).version == 1
    alias = models.Alias(name="stable", target="tiny@1")
    assert serve.SetAlias(models.SetAliasRequest(alias=alias)) == alias
    assert list(serve.ListAliases(models.ListAliasesRequest()).aliases) == [alias]
    serve.DeleteAlias(models.DeleteAliasRequest(name="stable"))
    parts = [
        tuning.UploadFileRequest(header=tuning.FileHeader(filename="a.zip")),
        tuning.UploadFileRequest(content=ARCHIVE),
    ]
    file = tune.UploadFile(iter(parts))
    job = tune.CreateJob(tuning.CreateJobRequest(model="tiny", training_file=file.id))
    assert tune.GetJob(tuning.GetJobRequest(id=job.id)) == job
    assert tune.ListJobs(tuning.ListJobsRequest()).jobs[0] == job
    assert tune.PauseJob(tuning.PauseJobRequest(id=job.id)).status == "paused"
    assert tune.ResumeJob(tuning.ResumeJobRequest(id=job.id)).status == "queued"
    assert tune.CancelJob(tuning.CancelJobRequest(id=job.id)).status == "cancelled"
    assert len(list(tune.WatchJob(tuning.WatchJobRequest(id=job.id)))) == 4


def test_native_grpc(server: ServerProcess) -> None:
    answered = Answered(server)
    with grpc.insecure_channel(server.grpc) as channel:
        use_native_grpc(channel)
    assert answered.missing(calls_of("latentd.v1")) == set()


def test_stock_health_check(server: ServerProcess) -> None:
    answered = Answered(server)
    serving = health_pb2.HealthCheckResponse.SERVING
    with grpc.insecure_channel(server.grpc) as channel:
        stub = HealthStub(channel)
        for service in ("", *{method.containing_service.full_name for method in all_methods()}):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == serving
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == serving
        watch.cancel()
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="nothing"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert answered.missing({"/grpc.health.v1.Health/Check"}) == set()

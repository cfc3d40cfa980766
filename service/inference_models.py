"""What the inference protocol's extensions say of a model: configuration and statistics, for both of its transports.

Plain values under the names of the protocol's messages: HTTP sends them as JSON, gRPC fills its messages with them.
Source: Triton's `extension_model_configuration.md` and `extension_statistics.md`.
"""

from collections.abc import Iterable, Mapping

from typing_extensions import TypedDict

from service.errors import InvalidRequest, Unimplemented
from service.inference_tensors import PLATFORM, input_specs, output_specs
from service.served_models import ServedModel
from service.statistics import Tally

BACKEND = "onnxruntime"
_IGNORED = "unload_dependents"  # no model here has any


class ConfigTensor(TypedDict):
    """A `ModelInput` or `ModelOutput`."""

    name: str
    data_type: str
    dims: list[int]


class ConfigInput(ConfigTensor):
    """A `ModelInput`."""

    optional: bool


class TransactionPolicy(TypedDict):
    """A `ModelTransactionPolicy`."""

    decoupled: bool


class ModelConfig(TypedDict):
    """Tensors without their batch dimension, and the most rows of a request."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[ConfigInput]
    output: list[ConfigTensor]
    model_transaction_policy: TransactionPolicy


class Duration(TypedDict):
    """A `StatisticDuration`."""

    count: int
    ns: int


class InferStatistics(TypedDict):
    """Counts and times of requests, and of their parts."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class BatchStatistics(TypedDict):
    """Of one batch size; none is kept."""

    batch_size: int


class ModelStatistics(TypedDict):
    """Of a version since it was loaded."""

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferStatistics
    batch_stats: list[BatchStatistics]


def model_config(model: ServedModel, max_images: int) -> ModelConfig:
    """A `ModelConfig`: tensors without their batch dimension, and the most rows of a request."""
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "max_batch_size": max_images,
        "input": [
            {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": spec.shape[1:], "optional": True}
            for spec in input_specs(model.manifest)
        ],
        "output": [
            {"name": spec.name, "data_type": f"TYPE_{spec.datatype}", "dims": spec.shape[1:]}
            for spec in output_specs(model.manifest)
        ],
        "model_transaction_policy": {"decoupled": False},
    }


def model_statistics(model: ServedModel) -> ModelStatistics:
    """A `ModelStatistics` since the version was loaded, over every precision and transport."""
    lanes = [lane.statistics for lane in model.lanes.values()]
    run = _sum(lane.run for lane in lanes)
    return {
        "name": model.name,
        "version": str(model.version),
        "last_inference": model.statistics.last_ms,
        "inference_count": sum(lane.rows for lane in lanes),
        "execution_count": run["count"],
        "inference_stats": {
            "success": _sum([model.statistics.success]),
            "fail": _sum([model.statistics.fail]),
            "queue": _sum(lane.queue for lane in lanes),
            "compute_input": _sum(lane.input for lane in lanes),
            "compute_infer": run,
            "compute_output": _sum(lane.output for lane in lanes),
            "cache_hit": _sum([]),
            "cache_miss": _sum([]),
        },
        "batch_stats": [],
    }


def check_repository_parameters(parameters: Mapping[str, object]) -> None:
    """Refuse what would change a package when it is loaded.

    Raises:
        Unimplemented: a configuration or files that override the package's own.
        InvalidRequest: no parameter of the protocol.
    """
    for name in parameters:
        if name == "config" or name.startswith("file:"):
            raise Unimplemented(
                f"parameters.{name[:80]}: a package is served as it is; allowed: {_IGNORED}", param="parameters"
            )
        if name != _IGNORED:
            raise InvalidRequest.unknown(f"parameters.{name}", parameters[name], [_IGNORED])


def _sum(tallies: Iterable[Tally]) -> Duration:
    listed = list(tallies)
    return {"count": sum(tally.count for tally in listed), "ns": sum(tally.ns for tally in listed)}

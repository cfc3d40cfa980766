"""What the inference protocol's extensions say of a model: configuration and statistics, for both of its transports.

Plain values under the names of the protocol's messages: HTTP sends them as JSON, gRPC fills its messages with them.
Source: Triton's `extension_model_configuration.md` and `extension_statistics.md`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from service.errors import InvalidRequest, Unimplemented
from service.inference_tensors import PLATFORM, input_specs, output_specs
from service.served_models import ServedModel
from service.statistics import Tally

BACKEND = "onnxruntime"
_IGNORED = "unload_dependents"  # no model here has any


def model_config(model: ServedModel, max_images: int) -> dict[str, Any]:
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


def model_statistics(model: ServedModel) -> dict[str, Any]:
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


def _sum(tallies: Iterable[Tally]) -> dict[str, int]:
    listed = list(tallies)
    return {"count": sum(tally.count for tally in listed), "ns": sum(tally.ns for tally in listed)}

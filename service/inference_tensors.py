"""The Open Inference Protocol's tensors, shared by its HTTP and its gRPC transport.

Inputs ``latents`` FP32 ``[n, latent_dim]`` or ``seed`` UINT64 ``[n, 1]``, optional ``label`` INT64 ``[n, 1]`` and
``truncation`` FP32 ``[n, 1]``; output ``images`` UINT8 ``[n, H, W, C]``, of sequences ``[n, T, H, W, C]``.
Parameters ``precision``, ``priority`` and ``timeout`` (microseconds).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.latents import MAX_SEED
from runtime.manifest import Manifest
from service.errors import InvalidRequest
from service.sampling import SampleRequest

PLATFORM = "onnxruntime_onnx"
OUTPUT = "images"
EXTENSIONS = ("binary_tensor_data", "parameters", "model_configuration", "statistics", "model_repository")
"""What the server offers beyond the protocol; the first is HTTP's alone."""
_DATATYPES = {"latents": "FP32", "seed": "UINT64", "label": "INT64", "truncation": "FP32"}
_NUMPY: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT64": np.dtype("<u8"), "INT64": np.dtype("<i8")}

_TENSOR_OF = {"labels": "label", "seeds": "seed"}
_LONGEST_SIDE = 2**63 - 1  # as int64 has it: JSON lets an integer have thousands of digits, too many to print a product
_LONGEST_US = 10**12  # the server's own limit is lower; a larger integer may not fit a float

Tensor = NDArray[np.float32] | NDArray[np.uint64] | NDArray[np.int64]
Parameter = bool | int | float | str


@dataclass(frozen=True)
class TensorSpec:
    """Name, datatype and shape of a model's tensor; -1 where the size varies."""

    name: str
    datatype: str
    shape: list[int]


@contextmanager
def tensor_names() -> Iterator[None]:
    """Name the tensor in a refusal where the engine names its own field."""
    try:
        yield
    except InvalidRequest as error:
        tensor = _TENSOR_OF.get(error.param or "")
        if tensor is None:
            raise
        message = error.message.replace(f"{error.param}:", f"inputs.{tensor}:", 1)
        raise InvalidRequest(message, param=tensor) from error


def input_specs(manifest: Manifest) -> list[TensorSpec]:
    """What a model can be given."""
    widths = {"latents": manifest.latent.dim, "seed": 1, "label": 1, "truncation": 1}
    names = [name for name in _DATATYPES if name != "label" or manifest.classes]
    return [TensorSpec(name, _DATATYPES[name], [-1, widths[name]]) for name in names]


def output_specs(manifest: Manifest) -> list[TensorSpec]:
    """What a model answers."""
    return [TensorSpec(OUTPUT, "UINT8", [-1, *manifest.output.shape])]


def tensor_from_bytes(name: str, datatype: str, shape: Sequence[int], content: bytes | memoryview) -> Tensor:
    """A tensor from its little-endian, row-major bytes.

    Raises:
        InvalidRequest: unknown name, wrong datatype, or a size that is not the shape's.
    """
    dtype = _check(name, datatype, shape)
    expected = prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise InvalidRequest(
            f"inputs.{name}: got {len(content)} bytes; allowed: {expected} for {datatype} of shape {list(shape)}",
            param=name,
        )
    return np.frombuffer(content, dtype=dtype).reshape(shape)


def tensor_from_values(name: str, datatype: str, shape: Sequence[int], values: object) -> Tensor:
    """A tensor from numbers, flat or nested.

    Raises:
        InvalidRequest: unknown name, wrong datatype, values that are not such numbers, or too many or few.
    """
    dtype = _check(name, datatype, shape)
    try:
        given = np.asarray(values)
        if given.dtype == object or given.dtype.kind not in ("iuf" if dtype.kind == "f" else "iu"):
            raise ValueError("not numbers of this type")
        if dtype.kind == "u" and given.dtype.kind == "i" and (given < 0).any():
            raise InvalidRequest.field(f"inputs.{name}", int(given.min()), f"integers from 0 to {MAX_SEED}")
        tensor = given.astype(dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidRequest.field(f"inputs.{name}.data", values, f"{datatype} numbers") from error
    if tensor.size != prod(shape):
        raise InvalidRequest(
            f"inputs.{name}: got {tensor.size} numbers; allowed: {prod(shape)} for shape {list(shape)}",
            param=name,
        )
    return tensor.reshape(shape)


def request_from_tensors(
    model: str, version: str, tensors: Mapping[str, Tensor], parameters: Mapping[str, Parameter]
) -> SampleRequest:
    """Tensors and parameters as the engine's request.

    Raises:
        InvalidRequest: a tensor's shape, a seed or a parameter is wrong.
    """
    rows = {name: len(tensor) for name, tensor in tensors.items()}
    if not rows:
        raise InvalidRequest.field("inputs", [], f"at least one of {', '.join(_DATATYPES)}")
    if len(set(rows.values())) > 1:
        raise InvalidRequest.field("inputs", rows, "the same number of rows in every tensor")
    seeds = tensors.get("seed")
    if seeds is not None and (too_large := seeds[seeds > MAX_SEED]).size:
        raise InvalidRequest.field("inputs.seed", int(too_large[0]), f"integers from 0 to {MAX_SEED} (2^53 - 1)")
    wanted = _parameters(parameters)
    latents, labels, truncation = (tensors.get(name) for name in ("latents", "label", "truncation"))
    return SampleRequest(
        model=f"{model}@{version}" if version else model,
        n=next(iter(rows.values())),
        seeds=None if seeds is None else [int(seed) for seed in seeds.reshape(-1)],
        latents=None if latents is None else latents.astype(np.float32, copy=False),
        labels=None if labels is None else [int(label) for label in labels.reshape(-1)],
        truncation=None if truncation is None else truncation.reshape(-1).astype(np.float32, copy=False),
        precision=wanted.precision,
        priority=wanted.priority,
        timeout_s=wanted.timeout_s,
    )


@dataclass
class _Parameters:
    precision: str = "auto"
    priority: str = "interactive"
    timeout_s: float | None = None


def _parameters(parameters: Mapping[str, Parameter]) -> _Parameters:
    found = _Parameters()
    for name, value in parameters.items():
        if name == "precision" and isinstance(value, str):
            found.precision = value
        elif name == "priority" and isinstance(value, str):
            found.priority = value
        elif name == "priority" and isinstance(value, int):
            # Triton's numbers: 0 is the default, 1 the highest level
            found.priority = "interactive" if value <= 1 else "bulk"
        elif name == "timeout" and isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            found.timeout_s = min(value, _LONGEST_US) / 1e6
        else:
            raise InvalidRequest.field(
                f"parameters.{name}",
                value,
                "precision (text), priority (interactive, bulk, or a number: 0 and 1 are interactive), "
                "timeout (microseconds above 0)",
            )
    return found


def _check(name: str, datatype: str, shape: Sequence[int]) -> np.dtype[Any]:
    if name not in _DATATYPES:
        raise InvalidRequest.field("inputs.name", name, ", ".join(_DATATYPES))
    if datatype != _DATATYPES[name]:
        raise InvalidRequest.field(f"inputs.{name}.datatype", datatype, _DATATYPES[name])
    two_dimensional = len(shape) == 2 and (name == "latents" or shape[1] == 1)
    one_dimensional = len(shape) == 1 and name != "latents"
    if not (two_dimensional or one_dimensional) or any(not 1 <= side <= _LONGEST_SIDE for side in shape):
        width = "latent_dim" if name == "latents" else "1"
        raise InvalidRequest.field(f"inputs.{name}.shape", list(shape), f"[n, {width}] with n at least 1")
    return _NUMPY[datatype]

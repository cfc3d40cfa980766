"""Static 8-bit quantization of an exported graph."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper
from pydantic import Field

from runtime.manifest import Precision
from trainer.compress.base import Architecture, Compressed, Inputs, QuantizationMethod
from trainer.compress.blocks import compute_pixels
from trainer.compress.eight_bits import tidy
from trainer.compress.folding import fold
from trainer.compress.graph import Graph, copy_of
from trainer.compress.quiet import quiet_root_logger
from trainer.compress.transposed_convolutions import Rewriting, rewrite_transposed_convolutions

_BATCH = 64
_OPERATORS = ("Conv", "Gemm", "MatMul", "Resize", "Relu")
_PASSING = ("Reshape", "Transpose", "Slice")
"""Operators that hand pixels on as they are: in 8 bits where the interleaving of a rewritten layer is made of them."""

_SATURATED = {"Tanh": 3.5, "Sigmoid": 7.0}
"""Beyond it the last activation is less than half of an 8-bit level from its limit, so that nothing is lost there."""


class Int8Config(QuantizationMethod):
    """QDQ form, unsigned 8-bit activations, signed 8-bit weights per channel.

    Signed activations have no fast kernel on x86 before VNNI's signed form, and scales measured on real
    latents, instead of per batch, are what keeps an image independent of its batch.
    """

    precision: ClassVar[Precision] = "int8"

    method: Literal["int8"] = "int8"
    """Which method."""

    calibration: Literal["min-max", "percentile"] = "min-max"
    """How an activation's range follows from what was seen: all of it, or all but 0.001 %."""

    images: int = Field(default=512, ge=8, le=65_536)
    """Generated images whose activations are looked at."""

    operators: tuple[str, ...] | None = None
    """ONNX operators that compute in 8 bits; null: as the architecture wants it. Residual additions never do: they are
    what costs quality."""

    least_weights: int = Field(default=16_384, ge=0)
    """Weights below which a dense layer stays in fp32: small ones cost no time, and place whole pictures."""

    reduce_range: bool = False
    """Weights of 7 bits: processors without 8-bit dot products (VNNI) add pairs of products in 16 bits, which 8-bit
    weights can overflow."""

    @property
    def calibration_images(self) -> int:
        """See `QuantizationMethod.calibration_images`."""
        return self.images

    def refusal(self, architecture: Architecture) -> str | None:
        """Without convolutions and dense layers."""
        if architecture.convolutions or architecture.transposed or architecture.dense:
            return None
        return "it computes convolutions and dense layers in 8 bits, and the graph has none"

    def apply(self, model: ModelProto, inputs: Inputs) -> Compressed:
        """See `QuantizationMethod.apply`."""
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        prepared = copy_of(model)
        compute_pixels(Graph(prepared))
        fold(prepared)
        rewriting = rewrite_transposed_convolutions(prepared)
        _name_nodes(prepared)
        methods = {"min-max": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
        operators = self.operators or (*_OPERATORS, *(_PASSING if _rearranges(prepared) else ()))
        with quiet_root_logger(logging.ERROR), tempfile.TemporaryDirectory() as scratch:
            source, target = Path(scratch) / "prepared.onnx", Path(scratch) / "int8.onnx"
            onnx.save(onnx.shape_inference.infer_shapes(prepared), source)
            quantize_static(
                source,
                target,
                _Batches(inputs),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=self.reduce_range,
                op_types_to_quantize=list(operators),
                nodes_to_exclude=_in_fp32(prepared, rewriting, self.least_weights),
                calibrate_method=methods[self.calibration],
                extra_options={
                    # Before the image is enlarged, not after it: a quarter of the numbers to round.
                    "ForceQuantizeNoInputCheck": True,
                    "OpTypesToExcludeOutputQuantization": _with_exact_outputs(prepared),
                    "TensorQuantOverrides": _saturated_ranges(prepared, inputs),
                },
            )
            quantized = onnx.load(target)
        tidy(Graph(quantized))
        return Compressed(quantized, _notes(rewriting))


class _Batches:
    """Calibration inputs as onnxruntime's quantizer wants them: one mapping per call, None at the end."""

    def __init__(self, inputs: Inputs) -> None:
        self._batches = _in_batches(inputs)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._batches, None)


def _in_batches(inputs: Inputs) -> Iterator[dict[str, NDArray[Any]]]:
    for start in range(0, len(inputs["latents"]), _BATCH):
        yield {name: array[start : start + _BATCH] for name, array in inputs.items()}


def _name_nodes(model: ModelProto) -> None:
    """The quantizer tells nodes apart by name."""
    for node in model.graph.node:
        node.name = node.name or node.output[0]


def _in_fp32(model: ModelProto, rewriting: Rewriting, least_weights: int) -> list[str]:
    """Names of nodes that stay as they are: small dense layers, and what rearranges finished images."""
    graph = Graph(model)
    in_8_bits = _leading_to_convolutions(model) | set(rewriting.interleaving)
    names = []
    for node in model.graph.node:
        if node.op_type in ("Gemm", "MatMul"):
            weights = graph.constant(node.input[1])
            if weights is None or weights.size < least_weights:
                names.append(node.name)
        elif node.op_type in _PASSING and node.name not in in_8_bits:
            names.append(node.name)
    return names


def _rearranges(model: ModelProto) -> bool:
    """Whether phases are interleaved between layers: of layers rewritten here or, of a pruned generator, before."""
    leading = _leading_to_convolutions(model)
    return any(node.op_type == "Transpose" and node.name in leading for node in model.graph.node)


def _leading_to_convolutions(model: ModelProto) -> set[str]:
    """Names of nodes whose results reach a convolution."""
    wanted: set[str] = set()
    names = set()
    for node in reversed(model.graph.node):
        if node.op_type == "Conv" or wanted.intersection(node.output):
            wanted.update(node.input)
            names.add(node.name)
    return names


def _with_exact_outputs(model: ModelProto) -> list[str]:
    """Gemm and MatMul, unless an activation in 8 bits follows: what comes next computes in fp32 anyway."""
    graph = Graph(model)
    readers = [graph.only_reader(node.output[0]) for node in graph.nodes if node.op_type in ("Gemm", "MatMul")]
    return [] if any(reader is not None and reader.op_type == "Relu" for reader in readers) else ["Gemm", "MatMul"]


def _saturated_ranges(model: ModelProto, inputs: Inputs) -> dict[str, list[dict[str, Any]]]:
    """Ranges of what the last activation is computed from, where it goes far into saturation.

    256 steps over −20 … 20 are 20 levels apart where Tanh is steep; over −3.5 … 3.5 they are three.
    """
    graph = Graph(copy_of(model))
    layers: dict[str, float] = {}
    for node in graph.nodes:
        if node.op_type in _SATURATED:
            layer = _layer_before(graph, node.input[0])
            if layer is not None:
                layers[layer] = _SATURATED[node.op_type]
    if not layers:
        return {}
    graph.model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in layers)
    session = onnxruntime.InferenceSession(graph.model.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = session.run(list(layers), next(_in_batches(inputs)))
    ranges = {}
    for (name, limit), values in zip(layers.items(), seen, strict=True):
        low, high = max(float(values.min()), -limit), min(float(values.max()), limit)
        if low < high and (values.min() < -limit or values.max() > limit):
            ranges[name] = [{"rmin": np.float32(low), "rmax": np.float32(high)}]
    return ranges


def _layer_before(graph: Graph, name: str) -> str | None:
    """Output of the convolution whose pixels, perhaps rearranged, are tensor `name`."""
    node: NodeProto | None = graph.producer(name)
    while node is not None and node.op_type in _PASSING:
        node = graph.producer(node.input[0])
    return None if node is None or node.op_type != "Conv" else node.output[0]


def _notes(rewriting: Rewriting) -> tuple[str, ...]:
    done = len(rewriting.done)
    notes = [f"{done} transposed convolution{'s' * (done != 1)} rewritten exactly as convolutions"] if done else []
    notes += [f"left alone, in fp32: transposed convolution {each}" for each in rewriting.left]
    return tuple(notes)

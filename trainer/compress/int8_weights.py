"""Weights stored in 8 or 4 bits, arithmetic in fp32.

The graph widens them by itself: Cast and Mul, which onnxruntime computes once, when it loads the graph, so that it runs
at the speed of fp32 and takes its memory. DequantizeLinear would say the same, but onnxruntime keeps such nodes for its
8-bit kernels and computes them again for every batch.
"""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from pydantic import Field

from runtime.manifest import Precision
from trainer.compress.base import Architecture, Compressed, Inputs, QuantizationMethod
from trainer.compress.graph import Graph, attributes, copy_of

_LEAST = 256
"""Numbers in a tensor below which nothing is gained."""


class Int8WeightsConfig(QuantizationMethod):
    """Symmetric, rounded to nearest: 8 bits with one scale per output, or 4 bits with one per `block` numbers."""

    precision: ClassVar[Precision] = "int8"

    method: Literal["int8-weights"] = "int8-weights"
    """Which method."""

    bits: Literal[8, 4] = 8
    """Bits of a weight. 4 are half the size of 8 again, and far from fp32."""

    block: int = Field(default=32, ge=8, le=1024, multiple_of=2)
    """Weights in a row that share a scale, with 4 bits."""

    def refusal(self, architecture: Architecture) -> str | None:
        """Never: it takes any weights."""
        return None

    def apply(self, model: ModelProto, inputs: Inputs) -> Compressed:
        """See `QuantizationMethod.apply`."""
        graph = Graph(copy_of(model))
        widening: list[NodeProto] = []
        for initializer in list(graph.model.graph.initializer):
            values = graph.constant(initializer.name)
            if initializer.data_type != TensorProto.FLOAT or values is None:
                continue
            if values.ndim < 2 or values.size < _LEAST or not np.isfinite(values).all():
                continue
            name, axes = initializer.name, _output_axes(graph, initializer.name, values.ndim)
            graph.model.graph.initializer.remove(initializer)
            widening += (
                _bytes(graph, name, values, axes) if self.bits == 8 else _nibbles(graph, name, values, self.block)
            )
        graph.insert_first(widening)
        return Compressed(graph.model)


def _output_axes(graph: Graph, name: str, dimensions: int) -> tuple[int, ...]:
    """The axes of tensor `name` that get scales of their own: those of the outputs of the layer that reads it."""
    reader = next(iter(graph.readers(name)), None)
    kind = "" if reader is None else reader.op_type
    if kind in ("LSTM", "GRU", "RNN"):
        return (0, 1)  # direction, gate and unit
    if kind == "ConvTranspose":
        return (1,)
    if kind == "MatMul" or (kind == "Gemm" and reader is not None and not attributes(reader).get("transB", 0)):
        return (dimensions - 1,)
    return (0,)


def _bytes(graph: Graph, name: str, values: NDArray[np.float32], axes: tuple[int, ...]) -> list[NodeProto]:
    """Scale = largest magnitude / 127 of each output."""
    others = tuple(axis for axis in range(values.ndim) if axis not in axes)
    scales = _scales(np.abs(values).max(others, keepdims=True), 127)
    rounded = np.clip(np.round(values / scales), -127, 127).astype(np.int8)
    stored, by = graph.add_constant(f"{name}_int8", rounded), graph.add_constant(f"{name}_scales", scales)
    return [_node("Cast", [stored], f"{name}_cast", to=TensorProto.FLOAT), _node("Mul", [f"{name}_cast", by], name)]


def _nibbles(graph: Graph, name: str, values: NDArray[np.float32], block: int) -> list[NodeProto]:
    """Blocks of the flattened tensor; a byte holds a number of the first half of a block and one of the second.

    Nodes: take the bytes apart, side by side again, − 8, · scale, cut off what filled the last block, shape.
    """
    rows = np.pad(values.reshape(-1), (0, -values.size % block)).reshape(-1, block)
    scales = _scales(np.abs(rows).max(1, keepdims=True), 7)
    levels = (np.clip(np.round(rows / scales), -7, 7) + 8).astype(np.uint8)
    packed = levels[:, : block // 2] | (levels[:, block // 2 :] << 4)

    def constant(what: str, content: Any, kind: type[np.generic]) -> str:
        return graph.add_constant(f"{name}_{what}", np.asarray(content, kind))

    stored, by = graph.add_constant(f"{name}_int4", packed), graph.add_constant(f"{name}_scales", scales)
    return [
        _node("BitwiseAnd", [stored, constant("mask", 15, np.uint8)], f"{name}_low"),
        _node("BitShift", [stored, constant("half_byte", 4, np.uint8)], f"{name}_high", direction="RIGHT"),
        _node("Concat", [f"{name}_low", f"{name}_high"], f"{name}_levels", axis=1),
        _node("Cast", [f"{name}_levels"], f"{name}_cast", to=TensorProto.FLOAT),
        _node("Sub", [f"{name}_cast", constant("middle", 8, np.float32)], f"{name}_signed"),
        _node("Mul", [f"{name}_signed", by], f"{name}_rows"),
        _node("Reshape", [f"{name}_rows", constant("flat", [-1], np.int64)], f"{name}_flat_rows"),
        _node(
            "Slice",
            [f"{name}_flat_rows", constant("from", [0], np.int64), constant("to", [values.size], np.int64)],
            f"{name}_cut",
        ),
        _node("Reshape", [f"{name}_cut", constant("shape", values.shape, np.int64)], name),
    ]


def _scales(largest: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    return np.where(largest > 0, largest / np.float32(levels), np.float32(1)).astype(np.float32)


def _node(kind: str, inputs: list[str], output: str, **settings: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **settings)

"""Weights stored in 16 bits, arithmetic in 32: half the file, the same speed, and images that differ by almost nothing.

Arithmetic in 16 bits brings nothing on processors, and graphs of LSTMs that are converted to it end the process that
loads them.
"""

from collections.abc import Collection
from typing import ClassVar, Literal

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from runtime.manifest import Precision
from trainer.compress.base import Architecture, Compressed, Inputs, QuantizationMethod
from trainer.compress.graph import Graph, copy_of

_LEAST = 64
"""Numbers in a tensor below which nothing is gained."""


class Fp16Config(QuantizationMethod):
    """Each weight rounded to a half-precision number; onnxruntime widens them once, when it loads the graph."""

    precision: ClassVar[Precision] = "fp16"

    method: Literal["fp16"] = "fp16"
    """Which method."""

    def refusal(self, architecture: Architecture) -> str | None:
        """Never."""
        return None

    def apply(self, model: ModelProto, inputs: Inputs) -> Compressed:
        """See `QuantizationMethod.apply`."""
        graph = Graph(copy_of(model))
        store_in_16_bits(graph)
        return Compressed(graph.model)


def store_in_16_bits(graph: Graph, keep: Collection[str] = ()) -> None:
    """Store the fp32 constants of `graph`, but for those named in `keep`, in half the bytes, in place."""
    casts: list[NodeProto] = []
    largest = float(np.finfo(np.float16).max)
    for initializer in list(graph.model.graph.initializer):
        values, name = graph.constant(initializer.name), initializer.name
        if initializer.data_type != TensorProto.FLOAT or values is None or values.size < _LEAST or name in keep:
            continue
        if np.abs(values).max() > largest:  # would become infinite
            continue
        graph.model.graph.initializer.remove(initializer)
        half = graph.add_constant(f"{name}_half", values.astype(np.float16))
        casts.append(helper.make_node("Cast", [half], [name], name=f"{name}_widened", to=TensorProto.FLOAT))
    graph.insert_first(casts)

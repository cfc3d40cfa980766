"""Layers in the shape that onnxruntime's 8-bit convolution is made for."""

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from trainer.compress.blocks import KERNEL_CHANNELS
from trainer.compress.graph import Graph, attributes


def fill_kernels(graph: Graph) -> None:
    """Convolutions to few channels, as the last one, compute `KERNEL_CHANNELS`, and those in excess are cut off.

    Weights are padded whenever the graph is loaded, so that the file does not grow.
    """
    for node in graph.nodes:
        if node.op_type == "Conv" and len(node.input) == 3 and attributes(node).get("group", 1) == 1:
            _fill(graph, node)


def _fill(graph: Graph, node: NodeProto) -> None:
    stored = [graph.producer(name) for name in node.input[1:]]
    rounded = graph.only_reader(node.output[0])
    if rounded is None or rounded.op_type != "QuantizeLinear":
        return
    constants = {name: graph.constant(name) for each in stored if each is not None for name in each.input}
    if any(each is None or each.op_type != "DequantizeLinear" for each in stored):
        return
    if any(values is None for values in constants.values()):
        return
    weights, bias = (each for each in stored if each is not None)
    channels = len(constants[weights.input[0]])  # type: ignore[arg-type]  # none is missing
    if channels >= KERNEL_CHANNELS:
        return
    for each in (weights, bias):
        for index, name in enumerate(each.input):
            values = constants[name]
            assert values is not None
            if index == 0 or values.size > 1:  # a single scale is that of all channels, however many
                each.input[index] = _padded(graph, name, values, "constant" if index != 1 else "edge")
    result, filled = rounded.output[0], f"{rounded.output[0]}_filled"
    rounded.output[0] = filled
    cut = [graph.add_constant(f"cut_{number}", np.array([number], np.int64)) for number in (0, channels, 1)]
    graph.insert_after(rounded, helper.make_node("Slice", [filled, *cut], [result]))


def _padded(graph: Graph, name: str, values: NDArray[np.generic], mode: str) -> str:
    """Constant `name` with more channels: zeros, or the last one again, since no scale may be zero."""
    pads = np.zeros(2 * values.ndim, np.int64)
    pads[values.ndim] = KERNEL_CHANNELS - len(values)
    padding = graph.add_constant(f"{name}_pads", pads)
    return graph.precompute("Pad", [name, padding], f"{name}_padded", mode=mode)

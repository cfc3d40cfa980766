"""What a QDQ graph stores although it follows from the rest; made again whenever the graph is loaded."""

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from trainer.compress.graph import Graph

_LEAST = 16
"""Numbers in a constant below which a node takes as many bytes."""

_LEAST_HALF = 2.0**-14
"""The smallest number that half precision holds to all of its bits."""


def leave_out_what_follows(graph: Graph) -> None:
    """Zero points of zero, and the scales of a layer's bias: those of its input times those of its weights."""
    layers = [node for node in graph.nodes if node.op_type in ("Conv", "Gemm") and len(node.input) == 3]
    for layer in layers:
        _, weights, bias = (graph.producer(name) for name in layer.input)
        for each in (weights, bias):
            if each is not None and each.op_type == "DequantizeLinear" and len(each.input) == 3:
                _leave_out_zeros(graph, each, needed=layer.op_type == "Gemm" and each is weights)
    graph.insert_first([made for layer in layers for made in _bias_scale(graph, layer)])
    for layer in layers:
        _narrow_bias(graph, layer)


def _leave_out_zeros(graph: Graph, node: NodeProto, *, needed: bool) -> None:
    """
    Args:
        needed: made again, since without them onnxruntime computes the layer in fp32.
    """
    zeros = graph.constant(node.input[2])
    if zeros is None or zeros.any():
        return
    if not needed:
        del node.input[2]
    elif zeros.size >= _LEAST:
        shape = graph.add_constant(f"{node.input[2]}_shape", np.array(zeros.shape, np.int64))
        value = numpy_helper.from_array(zeros.reshape(-1)[:1])
        node.input[2] = graph.precompute("ConstantOfShape", [shape], f"{node.input[2]}_made", value=value)


def _bias_scale(graph: Graph, layer: NodeProto) -> list[NodeProto]:
    sources = [graph.producer(name) for name in layer.input]
    names = [each.input[1] for each in sources if each is not None and each.op_type == "DequantizeLinear"]
    values = [value for name in names if (value := graph.constant(name)) is not None]
    if len(values) < 3 or values[2].size < _LEAST or not _follows(*values):
        return []
    [stored] = [each for each in graph.model.graph.initializer if each.name == names[2]]
    graph.model.graph.initializer.remove(stored)
    return [helper.make_node("Mul", names[:2], [names[2]])]


def _narrow_bias(graph: Graph, layer: NodeProto) -> None:
    """A bias whose numbers fit half of the bits is widened when the graph is loaded."""
    node = graph.producer(layer.input[2])
    bias = graph.constant(node.input[0]) if node is not None else None
    if node is None or bias is None or bias.dtype != np.int32 or bias.size < 2 * _LEAST:
        return
    if bias.min() < -(2**15) or bias.max() >= 2**15:
        return
    narrow = graph.add_constant(f"{node.input[0]}_narrow", bias.astype(np.int16))
    node.input[0] = graph.precompute("Cast", [narrow], f"{node.input[0]}_wide", to=TensorProto.INT32)


def _follows(source: NDArray[np.float32], weights: NDArray[np.float32], bias: NDArray[np.float32]) -> bool:
    return bias.shape == weights.shape and np.allclose(source * weights, bias, rtol=1e-5, atol=0)


def small_scales(graph: Graph) -> set[str]:
    """Names of scales that half precision would not hold to a thousandth."""
    names = {node.input[1] for node in graph.nodes if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    constants = {name: values for name in names if (values := graph.constant(name)) is not None}
    return {name for name, values in constants.items() if values.min() < _LEAST_HALF}


def shorten_names(graph: Graph) -> None:
    """Number tensors and nodes but for inputs and outputs: names are a thirtieth of a small graph."""
    content = graph.model.graph
    kept = {each.name for each in (*content.input, *content.output)}
    numbers: dict[str, str] = {"": ""}
    for node in content.node:
        node.name = ""
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = name if name in kept else numbers.setdefault(name, f"t{len(numbers)}")
    for initializer in content.initializer:
        initializer.name = numbers[initializer.name]

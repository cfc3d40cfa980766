"""The last steps from a layer's result to an image, on flat rows with channels last from the start.

As they are exported, arithmetic comes before channels go last; onnxruntime turns that around by itself, and then goes
number by number where there is one channel.
"""

import numpy as np
from onnx import helper

from trainer.compress.graph import Graph, attributes

_SINGLY = frozenset({"DequantizeLinear", "Tanh", "Sigmoid", "Add", "Mul", "Sub", "Div", "Round", "Clip", "Cast"})
"""Operators that treat every number alike, where their other inputs are single numbers."""

_CHANNELS_LAST = (0, 2, 3, 1)


def flatten_arithmetic(graph: Graph) -> None:
    """Move the last turning of channels and a flattening before the arithmetic; every number stays as it is."""
    result = graph.model.graph.output[0]
    shape = [side.dim_value for side in result.type.tensor_type.shape.dim]
    if len(shape) != 4 or min(shape[1:]) < 1:
        return
    arithmetic, turned, node = [], [], graph.producer(result.name)
    while node is not None and all(_is_number(graph, name) for name in node.input[1:] if name):
        if node.op_type in _SINGLY:
            arithmetic.append(node)
        elif node.op_type == "Transpose" and tuple(attributes(node)["perm"]) == _CHANNELS_LAST:
            turned.append(node)
        else:
            break
        node = None if node.op_type == "DequantizeLinear" else graph.producer(node.input[0])
    if len(turned) != 1 or not arithmetic:
        return
    graph.redirect(turned[0].output[0], turned[0].input[0])
    graph.model.graph.node.remove(turned[0])
    source, first = arithmetic[-1].input[0], arithmetic[-1]
    flat = graph.add_constant("flat", np.array([0, -1], np.int64))
    whole = graph.add_constant("whole", np.array([-1, *shape[1:]], np.int64))
    first.input[0] = "flat_pixels"
    graph.insert_before(first, helper.make_node("Transpose", [source], ["last_pixels"], perm=_CHANNELS_LAST))
    graph.insert_before(first, helper.make_node("Reshape", ["last_pixels", flat], ["flat_pixels"]))
    arithmetic[0].output[0] = f"flat_{result.name}"
    graph.insert_after(arithmetic[0], helper.make_node("Reshape", [arithmetic[0].output[0], whole], [result.name]))


def _is_number(graph: Graph, name: str) -> bool:
    values = graph.constant(name)
    return values is not None and values.size == 1

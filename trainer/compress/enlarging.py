"""Enlarging and the convolution behind it as one layer on the small image, exactly.

Along one axis, an image enlarged s times by repeating pixels and convolved with kernel w and padding p is

    y[o] = Σ x[i] w[k] over all i and k with 0 ≤ o + k − p − s i < s,

a transposed convolution of stride s whose kernel is w backwards, convolved with s ones. Each of its s² phases has
⌈(K + s − 1) / s⌉² taps where the convolution has K²: 4 for 9 with K = 3 and s = 2. The phases have weights of their
own, 16 for 9.
"""

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from trainer.compress.graph import Graph, attributes

_REPEATING = {"mode": b"nearest", "nearest_mode": b"floor", "coordinate_transformation_mode": b"asymmetric"}
_PLAIN = {"group": 1, "strides": [1, 1], "dilations": [1, 1], "auto_pad": b"NOTSET"}


def join_enlarging(model: ModelProto) -> tuple[str, ...]:
    """Make one ConvTranspose of every enlarging by whole factors and the Conv that alone reads it, in place.

    Returns:
        Names of the convolutions.
    """
    graph, joined = Graph(model), list[str]()
    for node in graph.nodes:
        enlarging = graph.producer(node.input[0]) if node.op_type == "Conv" else None
        weights = graph.constant(node.input[1]) if node.op_type == "Conv" else None
        if enlarging is None or weights is None or graph.only_reader(node.input[0]) is None:
            continue
        factors, settings = _factors(graph, enlarging), attributes(node)
        if factors is None or any(settings.get(name, value) != value for name, value in _PLAIN.items()):
            continue
        kernel = weights.shape[2:]
        edges = settings.get("pads", [0, 0, 0, 0])
        pads = [extent - 1 - edge for extent, edge in zip((*kernel, *kernel), edges, strict=True)]
        if min(pads) < 0:
            continue
        name = node.name or node.output[0]
        whole = graph.add_constant(f"{name}_enlarging", _enlarging_kernel(weights, factors))
        inputs = [enlarging.input[0], whole, *node.input[2:]]
        new = helper.make_node("ConvTranspose", inputs, node.output, name=name, strides=factors, pads=pads)
        graph.replace_node(node, [new])
        joined.append(name)
    graph.drop_unused()
    return tuple(joined)


def _factors(graph: Graph, node: NodeProto) -> list[int] | None:
    """Of rows and columns, where `node` repeats every pixel as often."""
    settings = attributes(node)
    if node.op_type != "Resize" or any(settings.get(name) != value for name, value in _REPEATING.items()):
        return None
    scales = graph.constant(node.input[2]) if len(node.input) == 3 and node.input[2] else None
    if scales is None or len(scales) != 4 or list(scales[:2]) != [1, 1] or list(scales) != list(np.floor(scales)):
        return None
    return [int(scale) for scale in scales[2:]]


def _enlarging_kernel(weights: NDArray[np.float32], factors: list[int]) -> NDArray[np.float32]:
    """``[outputs, inputs, K, K]`` to ``[inputs, outputs, K + s − 1, K + s − 1]``."""
    outputs, inputs, height, width = weights.shape
    backwards = weights[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    whole = np.zeros((inputs, outputs, height + factors[0] - 1, width + factors[1] - 1), np.float32)
    for row in range(factors[0]):
        for column in range(factors[1]):
            whole[:, :, row : row + height, column : column + width] += backwards
    return whole

"""The last convolution in blocks: one of a few channels becomes one of the pixels of a block, exactly.

onnxruntime's 8-bit convolution computes sixteen channels at a time; with fewer it takes a slow way, and with zeros
added it computes for nothing. A block of s × s pixels with M channels is s² M numbers that see a window of
(K + s − 1)² pixels: a convolution of stride s, whose results are put back beside each other (Shi et al. 2016,
"Real-time single image and video super-resolution", section 3.2). It takes (K + s − 1)² / K² / s² of the products that
sixteen channels would.
"""

import math

import numpy as np
from onnx import NodeProto, helper

from trainer.compress.eight_bits.kernels import KERNEL_CHANNELS
from trainer.compress.graph import Graph, attributes
from trainer.compress.interleaving import Blocks, interleave


def compute_blocks(graph: Graph) -> None:
    """Rewrite convolutions of stride 1 to a few channels, whose results are bytes, in blocks that fill the kernel.

    Weights are made when the graph is loaded, so that the file hardly grows.
    """
    shapes = {node.output[0]: graph.shape(node.output[0]) for node in graph.nodes if node.op_type == "Conv"}
    for node in graph.nodes:
        shape = shapes.get(node.output[0])
        if node.op_type == "Conv" and shape is not None and None not in shape[1:]:
            _rewrite(graph, node, [int(side or 0) for side in shape[1:]])


def _rewrite(graph: Graph, node: NodeProto, shape: list[int]) -> None:
    (channels, height, width), settings = shape, attributes(node)
    side = _side(channels, math.gcd(height, width))
    rounded, stored = graph.only_reader(node.output[0]), [graph.producer(name) for name in node.input[1:]]
    plain = all(settings.get(name, 1) in (1, [1, 1]) for name in ("group", "strides", "dilations"))
    plain = plain and settings.get("auto_pad", b"NOTSET") == b"NOTSET"
    if side < 2 or not plain or rounded is None or rounded.op_type != "QuantizeLinear":
        return
    if any(each is None or each.op_type != "DequantizeLinear" for each in stored):
        return
    weights, *bias = (each for each in stored if each is not None)
    values = graph.constant(weights.input[0])
    if values is None:
        return
    kernel = values.shape[2:]
    weights.input[0] = _shifted(graph, weights.input[0], side)
    for each in (weights, *bias):
        for index, name in enumerate(each.input):
            constant = graph.constant(name)
            if constant is not None and constant.ndim == 1 and constant.size == channels:
                each.input[index] = _tiled(graph, name, side * side)
    del node.attribute[:]
    node.attribute.extend(
        [
            helper.make_attribute("kernel_shape", [extent + side - 1 for extent in kernel]),
            helper.make_attribute("pads", settings.get("pads", [0, 0, 0, 0])),
            helper.make_attribute("strides", [side, side]),
        ]
    )
    _spread(graph, rounded, (channels, height, width), side)


def _side(channels: int, common: int) -> int:
    """Of the largest block that divides the image and fits the kernel."""
    return max((side for side in (4, 2, 1) if channels * side**2 <= KERNEL_CHANNELS and not common % side), default=1)


def _shifted(graph: Graph, name: str, side: int) -> str:
    """Weights ``[M, C, K, K]`` at every place of a block: ``[s² M, C, K + s − 1, K + s − 1]``, rows first."""
    places = [(row, column) for row in range(side) for column in range(side)]
    shifted = graph.precompute("Concat", [f"{name}_{row}_{column}" for row, column in places], f"{name}_places", axis=0)
    for row, column in places:
        pads = graph.add_constant("pads", np.array([0, 0, row, column, 0, 0, side - 1 - row, side - 1 - column]))
        graph.precompute("Pad", [name, pads], f"{name}_{row}_{column}")
    return shifted


def _tiled(graph: Graph, name: str, times: int) -> str:
    return graph.precompute("Tile", [name, graph.add_constant("repeats", np.array([times]))], f"{name}_tiled")


def _spread(graph: Graph, rounded: NodeProto, shape: tuple[int, int, int], side: int) -> None:
    """``[n, s² M, H / s, W / s]`` bytes to ``[n, M, H, W]``."""
    channels, height, width = shape
    result, name = rounded.output[0], f"{rounded.output[0]}_blocks"
    rounded.output[0] = name
    blocks = Blocks(channels, (height // side, width // side), (side, side), (0, 0), (height, width))
    for step in reversed(interleave(graph, name, name, result, blocks)):
        graph.insert_after(rounded, step)

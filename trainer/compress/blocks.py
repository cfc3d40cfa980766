"""The last convolution in blocks: one of a few channels becomes one of the pixels of a block, exactly.

onnxruntime's convolutions compute sixteen channels at a time on x86, in fp32 and in 8 bits; with fewer they take a slow
way or compute zeros. A block of s × s pixels with M channels is s² M numbers that see a window of (K + s − 1)² pixels:
a convolution of stride s, whose results are put back beside each other (Shi et al. 2016, "Real-time single image and
video super-resolution", section 3.2). It takes (K + s − 1)² / K² / s² of the products that sixteen channels would.
"""

import math

import numpy as np
from onnx import NodeProto, helper

from trainer.compress.graph import Graph, attributes
from trainer.compress.interleaving import Blocks, interleave

KERNEL_CHANNELS = 16
"""That onnxruntime computes at a time."""

_INTERLEAVING = ("Transpose", "Reshape", "Transpose", "Reshape", "Transpose")


def compute_blocks(graph: Graph) -> None:
    """Rewrite convolutions of stride 1 to a few channels in blocks that fill the kernel, in fp32 and in QDQ form.

    Weights are made when the graph is loaded, so that the file hardly grows.
    """
    shapes = {node.output[0]: graph.shape(node.output[0]) for node in graph.nodes if node.op_type == "Conv"}
    for node in graph.nodes:
        shape = shapes.get(node.output[0])
        if node.op_type == "Conv" and shape is not None and None not in shape[1:]:
            _rewrite(graph, node, [int(side or 0) for side in shape[1:]])


def compute_pixels(graph: Graph) -> None:
    """Undo what `compute_blocks` made of an fp32 graph, for those who want the layer's own weights."""
    for node in graph.nodes:
        places = graph.producer(node.input[1]) if node.op_type == "Conv" else None
        if places is None or places.op_type != "Concat":
            continue
        shifted = graph.producer(places.input[0])
        if shifted is None or shifted.op_type != "Pad":
            continue
        source = shifted.input[0]
        weights = graph.constant(source)
        steps = _following(graph, node)
        if weights is None or tuple(step.op_type for step in steps) != _INTERLEAVING:
            continue
        node.input[1] = source
        for index, tiled in enumerate([graph.producer(name) for name in node.input[2:]], 2):
            assert tiled is not None, "it was made with the weights"
            node.input[index] = tiled.input[0]
        _set(node, list(weights.shape[2:]), attributes(node)["pads"], 1)
        graph.redirect(steps[-1].output[0], node.output[0])
    graph.drop_unused()


def _rewrite(graph: Graph, node: NodeProto, shape: list[int]) -> None:
    (channels, height, width), settings = shape, attributes(node)
    side = _side(channels, math.gcd(height, width))
    plain = all(settings.get(name, 1) in (1, [1, 1]) for name in ("group", "strides", "dilations"))
    plain = plain and settings.get("auto_pad", b"NOTSET") == b"NOTSET"
    layer = _parts(graph, node)
    if side < 2 or not plain or layer is None:
        return
    holders, last = layer
    for holder in holders:
        for index, name in enumerate(holder.input):
            constant = graph.constant(name)
            if constant is not None and constant.ndim == 4:
                kernel = constant.shape[2:]
                holder.input[index] = _shifted(graph, name, side)
            elif constant is not None and constant.ndim == 1 and constant.size == channels:
                holder.input[index] = _tiled(graph, name, side * side)
    _set(node, [extent + side - 1 for extent in kernel], settings.get("pads", [0, 0, 0, 0]), side)
    _spread(graph, last, (channels, height, width), side)


def _parts(graph: Graph, node: NodeProto) -> tuple[list[NodeProto], NodeProto] | None:
    """The nodes that read what is stored of a convolution, and the one that yields its result; None where weights are
    computed, or the result of 8-bit weights is not rounded to 8 bits."""
    if all(graph.constant(name) is not None for name in node.input[1:]):
        return [node], node
    widened, rounded = [graph.producer(name) for name in node.input[1:]], graph.only_reader(node.output[0])
    holders = [each for each in widened if each is not None and each.op_type == "DequantizeLinear"]
    if len(holders) < len(widened) or rounded is None or rounded.op_type != "QuantizeLinear":
        return None
    return None if graph.constant(holders[0].input[0]) is None else (holders, rounded)


def _set(node: NodeProto, kernel: list[int], pads: list[int], stride: int) -> None:
    """Attributes of a convolution, and no others."""
    del node.attribute[:]
    given = (("kernel_shape", kernel), ("pads", pads), ("strides", [stride, stride]))
    node.attribute.extend(helper.make_attribute(name, values) for name, values in given)


def _following(graph: Graph, node: NodeProto) -> list[NodeProto]:
    """As many nodes behind `node`, each the only reader of the one before, as an interleaving has."""
    chain = list[NodeProto]()
    while len(chain) < len(_INTERLEAVING):
        after = graph.only_reader((chain or [node])[-1].output[0])
        if after is None:
            break
        chain.append(after)
    return chain


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


def _spread(graph: Graph, last: NodeProto, shape: tuple[int, int, int], side: int) -> None:
    """What `last` yields, ``[n, s² M, H / s, W / s]``, to ``[n, M, H, W]``."""
    channels, height, width = shape
    result, name = last.output[0], f"{last.output[0]}_blocks"
    last.output[0] = name
    blocks = Blocks(channels, (height // side, width // side), (side, side), (0, 0), (height, width))
    for step in reversed(interleave(graph, name, name, result, blocks)):
        graph.insert_after(last, step)

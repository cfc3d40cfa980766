"""Channels that are pixels of a block, put beside each other (Shi et al. 2016, "Real-time single image and video
super-resolution", section 3.2)."""

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, helper

from trainer.compress.graph import Graph

Pair = tuple[int, int]
"""Of rows and columns."""


@dataclass(frozen=True)
class Blocks:
    """What is put together.

    Attributes:
        channels: of a pixel.
        count: of blocks along each axis.
        size: of a block; channels are ordered by row in it, then by column.
        start: first row and column of the image that are wanted.
        wanted: how many of each.
    """

    channels: int
    count: Pair
    size: Pair
    start: Pair
    wanted: Pair


def interleave(graph: Graph, name: str, source: str, result: str, of: Blocks) -> list[NodeProto]:
    """Nodes from ``[n, s · t · C, H, W]`` to the wanted part of ``[n, C, s H, t W]``; each has a name.

    Channels are last meanwhile, as they are in 8-bit convolutions, so that whole pixels are moved and not each number.
    """
    apart = graph.add_constant(f"{name}_apart", np.array([0, *of.count, of.size[0], of.size[1] * of.channels]))
    whole = (of.count[0] * of.size[0], of.count[1] * of.size[1])
    together = graph.add_constant(f"{name}_whole", np.array([0, *whole, of.channels]))
    nodes = [
        _transposed(source, f"{name}_last", [0, 2, 3, 1]),
        _made("Reshape", [f"{name}_last", apart], f"{name}_split"),
        _transposed(f"{name}_split", f"{name}_turned", [0, 1, 3, 2, 4]),
        _made("Reshape", [f"{name}_turned", together], f"{name}_interleaved"),
    ]
    if of.wanted != whole:
        ends = [start + size for start, size in zip(of.start, of.wanted, strict=True)]
        given = (("starts", list(of.start)), ("ends", ends), ("axes", [1, 2]))
        bounds = [graph.add_constant(f"{name}_{what}", np.array(values)) for what, values in given]
        nodes.append(_made("Slice", [f"{name}_interleaved", *bounds], f"{name}_cut"))
    return [*nodes, _transposed(nodes[-1].output[0], result, [0, 3, 1, 2])]


def _made(kind: str, inputs: list[str], result: str) -> NodeProto:
    return helper.make_node(kind, inputs, [result], name=result)


def _transposed(source: str, result: str, order: list[int]) -> NodeProto:
    return helper.make_node("Transpose", [source], [result], name=f"{result}_by_turning", perm=order)

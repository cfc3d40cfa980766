"""What multiplies or shifts each channel by a number of its own, computed along whole rows.

With channels last onnxruntime broadcasts such numbers over one pixel after the other; laid out for a row of pixels they
are read as long stretches, in a third of the time.
"""

import numpy as np
from onnx import NodeProto, helper

from trainer.compress.graph import Graph


def factor_rows(graph: Graph) -> None:
    """Rewrite chains of Mul and Add by computed factors ``[n, C, 1, 1]``, as conditional batch norm is."""
    shapes = {node.output[0]: graph.shape(node.output[0]) for node in graph.nodes if node.op_type in ("Mul", "Add")}
    factors = {name: graph.shape(name) for node in graph.nodes if node.output[0] in shapes for name in node.input}
    done = set[str]()
    for node in graph.nodes:
        if node.output[0] not in shapes or node.output[0] in done:
            continue
        chain = list[tuple[NodeProto, int]]()
        after: NodeProto | None = node
        while after is not None and (index := _factor_of(graph, after, factors)) is not None:
            chain.append((after, index))
            after = graph.only_reader(after.output[0])
        shape = shapes[node.output[0]]
        if chain and shape is not None and None not in shape[1:]:
            _along_rows(graph, chain, [int(side or 0) for side in shape[1:]])
            done.update(each.output[0] for each, _ in chain)


def _factor_of(graph: Graph, node: NodeProto, shapes: dict[str, list[int | None] | None]) -> int | None:
    """Which input of a Mul or Add has a computed number for each channel."""
    if node.op_type not in ("Mul", "Add"):
        return None
    for index, name in enumerate(node.input):
        shape, other = shapes.get(name), shapes.get(node.input[1 - index])
        if shape is None or len(shape) != 4 or shape[2:] != [1, 1] or graph.constant(name) is not None:
            continue
        if other is not None and len(other) == 4 and other[1] == shape[1] and other[2:] != [1, 1]:
            return index
    return None


def _along_rows(graph: Graph, chain: list[tuple[NodeProto, int]], shape: list[int]) -> None:
    channels, height, width = shape
    first, last = chain[0][0], chain[-1][0]
    source, result = first.input[1 - chain[0][1]], last.output[0]
    rows = graph.add_constant("rows", np.array([0, height, width * channels]))
    pixels = graph.add_constant("pixels", np.array([0, height, width, channels]))
    graph.insert_before(first, helper.make_node("Transpose", [source], [f"{result}_last"], perm=[0, 2, 3, 1]))
    graph.insert_before(first, helper.make_node("Reshape", [f"{result}_last", rows], [f"{result}_rows"]))
    current = f"{result}_rows"
    for node, index in chain:
        factor = _repeated(graph, node, node.input[index], channels, width)
        node.input[1 - index], node.input[index] = current, factor
        current = node.output[0]
    last.output[0] = f"{result}_factored"
    back = helper.make_node("Transpose", [f"{result}_pixels"], [result], perm=[0, 3, 1, 2])
    graph.insert_after(last, back)
    graph.insert_after(last, helper.make_node("Reshape", [last.output[0], pixels], [f"{result}_pixels"]))


def _repeated(graph: Graph, node: NodeProto, factor: str, channels: int, width: int) -> str:
    """``[n, C, 1, 1]`` as ``[n, 1, W C]``."""
    names = [f"{factor}_of_{node.output[0]}_{step}" for step in ("flat", "tiled", "row")]
    flat = graph.add_constant("flat", np.array([-1, channels]))
    times = graph.add_constant("times", np.array([1, width]))
    row = graph.add_constant("row", np.array([-1, 1, width * channels]))
    graph.insert_before(node, helper.make_node("Reshape", [factor, flat], [names[0]]))
    graph.insert_before(node, helper.make_node("Tile", [names[0], times], [names[1]]))
    graph.insert_before(node, helper.make_node("Reshape", [names[1], row], [names[2]]))
    return names[2]

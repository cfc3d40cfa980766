"""What hands pixels on as they are, on bytes: without widening them, and whole pixels at a time."""

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, helper

from trainer.compress.graph import Graph, attributes

_MOVING = frozenset({"Reshape", "Transpose", "Slice", "Tile", "Resize"})

_CHANNELS_LAST, _CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def copy_pixels(graph: Graph) -> None:
    """Nearest enlargements of bytes by whole factors: each pixel with all its channels is copied, then each row."""
    shapes = {node.output[0]: graph.shape(node.input[0]) for node in graph.nodes if node.op_type == "Resize"}
    for node in graph.nodes:
        factors, shape = _whole_factors(graph, node), shapes.get(node.output[0])
        if factors is not None and shape is not None and None not in shape[1:] and _of_bytes(graph, node):
            graph.replace_node(node, _copies(graph, node, factors, [int(side or 0) for side in shape[1:]]))


def _whole_factors(graph: Graph, node: NodeProto) -> tuple[int, int] | None:
    """Of rows and columns, where `node` is a Resize that repeats each pixel so many times."""
    settings = attributes(node)
    scales = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if node.op_type != "Resize" or settings.get("mode", b"nearest") != b"nearest" or scales is None:
        return None
    if settings.get("coordinate_transformation_mode") != b"asymmetric" or settings.get("nearest_mode") != b"floor":
        return None
    if scales.shape != (4,) or not np.array_equal(scales, scales.round()) or tuple(scales[:2]) != (1, 1):
        return None
    return int(scales[2]), int(scales[3])


def _of_bytes(graph: Graph, node: NodeProto) -> bool:
    """Whether `node` stands between a DequantizeLinear and a QuantizeLinear of the same scale and zero point."""
    return _same_scale(graph, graph.producer(node.input[0]), graph.only_reader(node.output[0]))


def _same_scale(graph: Graph, before: NodeProto | None, after: NodeProto | None) -> bool:
    """Whether these two widen and narrow bytes alike."""
    if before is None or after is None or (before.op_type, after.op_type) != ("DequantizeLinear", "QuantizeLinear"):
        return False
    pairs = zip(before.input[1:], after.input[1:], strict=True)
    return all(mine == other or _equal(graph, mine, other) for mine, other in pairs)


def _equal(graph: Graph, name: str, other: str) -> bool:
    values, others = graph.constant(name), graph.constant(other)
    return values is not None and others is not None and np.array_equal(values, others)


def _copies(graph: Graph, node: NodeProto, factors: tuple[int, int], shape: Sequence[int]) -> list[NodeProto]:
    (rows, columns), (channels, height, width) = factors, shape
    steps: list[tuple[str, Sequence[int]]] = [
        ("Transpose", _CHANNELS_LAST),
        ("Reshape", (-1, channels)),
        ("Tile", (1, columns)),
        ("Reshape", (-1, columns * width * channels)),
        ("Tile", (1, rows)),
        ("Reshape", (-1, rows * height, columns * width, channels)),
        ("Transpose", _CHANNELS_FIRST),
    ]
    made, current = list[NodeProto](), node.input[0]
    for number, (kind, numbers) in enumerate(steps, 1):
        result = node.output[0] if number == len(steps) else f"{node.output[0]}_copied_{number}"
        if kind == "Transpose":
            made.append(helper.make_node(kind, [current], [result], perm=numbers))
        else:
            constant = graph.add_constant(f"{kind.lower()}_{'_'.join(map(str, numbers))}", np.array(numbers, np.int64))
            made.append(helper.make_node(kind, [current, constant], [result]))
        current = result
    return made


def move_bytes(graph: Graph) -> None:
    """DequantizeLinear → one or more that move pixels → QuantizeLinear of the same scale: on the bytes themselves."""
    for node in graph.nodes:
        chain = [node]
        while (after := graph.only_reader(chain[-1].output[0])) is not None and after.op_type in _MOVING:
            chain.append(after)
        before = graph.producer(node.input[0])
        if node.op_type in _MOVING and before is not None and after is not None and _same_scale(graph, before, after):
            node.input[0], chain[-1].output[0] = before.input[0], after.output[0]
            graph.model.graph.node.remove(after)

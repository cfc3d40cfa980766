"""Normalization as part of the weights before it: exact, and what 8-bit graphs need, which round at every step."""

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from trainer.compress.graph import Graph, attributes

Values = NDArray[np.float32]
_OUTPUT_AXIS = {"Conv": 0, "ConvTranspose": 1}
_GEMM = "Gemm"


def fold(model: ModelProto) -> None:
    """Fold what scales and shifts channels by constants into the convolution or the Gemm before it.

    A table of one row, as of a generator without classes, is a constant whatever row is asked for.
    """
    graph = Graph(model)
    _settle_tables_of_one_row(graph)
    for node in graph.nodes:
        if node.op_type in ("Mul", "Add"):
            _fold_into_weights(graph, node)
    for node in graph.nodes:
        if node.op_type == _GEMM:
            _activate_before_reshaping(graph, node)
    graph.drop_unused()


def _settle_tables_of_one_row(graph: Graph) -> None:
    """Gather(table ``[1, C]``, anything) → Unsqueeze, read by multiplications and additions, which broadcast; or beside
    something else into a Gemm."""
    for gather in graph.nodes:
        table = graph.constant(gather.input[0]) if gather.op_type == "Gather" else None
        if table is None or table.ndim != 2 or len(table) != 1 or attributes(gather).get("axis", 0) != 0:
            continue
        for concat in graph.readers(gather.output[0]):
            _fold_into_bias(graph, concat, gather.output[0], table[0])
        for unsqueeze in graph.readers(gather.output[0]):
            axes = graph.constant(unsqueeze.input[1]) if unsqueeze.op_type == "Unsqueeze" else None
            readers = graph.readers(unsqueeze.output[0])
            if axes is None or sorted(axes.tolist()) != [2, 3] or {each.op_type for each in readers} - {"Mul", "Add"}:
                continue
            graph.redirect(unsqueeze.output[0], graph.add_constant(unsqueeze.output[0], table[:, :, None, None]))


def _fold_into_bias(graph: Graph, concat: NodeProto, name: str, row: Values) -> None:
    """Gemm of [x, row] is Gemm of x alone, with a bias that knows the row."""
    gemm = graph.only_reader(concat.output[0])
    if concat.op_type != "Concat" or len(concat.input) != 2 or attributes(concat)["axis"] not in (1, -1):
        return
    if gemm is None or gemm.op_type != _GEMM or gemm.input[0] != concat.output[0] or attributes(gemm).get("transA", 0):
        return
    outputs_axis, weights = _output_axis(gemm), graph.constant(gemm.input[1])
    if weights is None or not _may_change(graph, gemm, weights.shape[outputs_axis]):
        return
    at = list(concat.input).index(name)
    split = len(row) if at == 0 else weights.shape[1 - outputs_axis] - len(row)
    parts = np.split(weights, [split], axis=1 - outputs_axis)
    known = np.tensordot(parts[at].astype(np.float64), row, axes=(1 - outputs_axis, 0))
    _scale_or_shift(graph, gemm, "Add", known)
    gemm.input[0] = concat.input[1 - at]
    gemm.input[1] = graph.add_constant(f"{gemm.input[1]}_of_what_varies", parts[1 - at])


def _fold_into_weights(graph: Graph, node: NodeProto) -> None:
    """y = W x + b, then y · s or y + t with one number per channel: W s and b s, or b + t."""
    if any(output.name == node.output[0] for output in graph.model.graph.output):
        return
    for mine, other in ((0, 1), (1, 0)):
        factor = graph.constant(node.input[other])
        if factor is None or factor.ndim != 4 or factor.shape[0] != 1 or factor.shape[2:] != (1, 1):
            continue
        made = _makers(graph, node.input[mine])
        per_channel = factor.reshape(-1).astype(np.float64)
        if not made or not all(_may_change(graph, maker, repeats * len(per_channel)) for maker, repeats in made):
            continue
        for maker, repeats in made if node.op_type == "Mul" else made[:1]:
            _scale_or_shift(graph, maker, node.op_type, np.repeat(per_channel, repeats))
        graph.redirect(node.output[0], node.input[mine])
        graph.model.graph.node.remove(node)
        return


def _makers(graph: Graph, name: str) -> list[tuple[NodeProto, int]]:
    """The layers whose sum is tensor `name`, each perhaps enlarged: see `_maker`; none where one is missing."""
    node = graph.producer(name)
    if node is not None and graph.only_reader(name) is not None:
        if node.op_type == "Add":
            sides = [_makers(graph, side) for side in node.input]
            return [maker for side in sides for maker in side] if all(sides) else []
        if node.op_type == "Resize" and attributes(node).get("mode", b"nearest") == b"nearest":
            return _makers(graph, node.input[0])
    made = _maker(graph, name)
    return [] if made is None else [made]


def _maker(graph: Graph, name: str) -> tuple[NodeProto, int] | None:
    """The layer whose result, perhaps reshaped, is tensor `name`, read by one node alone; and how many of its outputs
    in a row belong to one channel."""
    if graph.only_reader(name) is None:
        return None
    node = graph.producer(name)
    if node is not None and node.op_type in _OUTPUT_AXIS:
        return node, 1
    if node is None or node.op_type != "Reshape" or graph.only_reader(node.input[0]) is None:
        return None
    gemm, shape = graph.producer(node.input[0]), graph.constant(node.input[1])
    if gemm is None or gemm.op_type != _GEMM or shape is None or len(shape) != 4 or min(shape[1:]) < 1:
        return None
    return gemm, int(shape[2] * shape[3])


def _output_axis(maker: NodeProto) -> int:
    """Of its weights."""
    if maker.op_type == _GEMM:
        return 0 if attributes(maker).get("transB", 0) else 1
    return _OUTPUT_AXIS[maker.op_type]


def _bias(graph: Graph, maker: NodeProto, outputs: int) -> Values | None:
    """Zeros where it has none; None where it is computed."""
    has_bias = len(maker.input) > 2 and bool(maker.input[2])
    return graph.constant(maker.input[2]) if has_bias else np.zeros(outputs, np.float32)


def _may_change(graph: Graph, maker: NodeProto, outputs: int) -> bool:
    """Whether its weights are constant, and of that many outputs."""
    weights, bias, settings = graph.constant(maker.input[1]), _bias(graph, maker, outputs), attributes(maker)
    if weights is None or bias is None or any(settings.get(name, 1) != 1 for name in ("group", "alpha", "beta")):
        return False
    return weights.shape[_output_axis(maker)] == outputs and bias.shape == (outputs,)


def _scale_or_shift(graph: Graph, maker: NodeProto, kind: str, values: NDArray[np.float64]) -> None:
    """Multiply what `maker` yields by `values`, or add them to it."""
    weights, bias = graph.constant(maker.input[1]), _bias(graph, maker, len(values))
    assert weights is not None and bias is not None
    has_bias = len(maker.input) > 2 and bool(maker.input[2])
    if kind == "Mul":
        axis = _output_axis(maker)
        along = [1] * weights.ndim
        along[axis] = len(values)
        scaled = (weights * values.reshape(along)).astype(np.float32)
        maker.input[1] = graph.add_constant(f"{maker.input[1]}_scaled", scaled)
        new_bias = bias * values
    else:
        new_bias = bias + values
    if has_bias or kind == "Add":
        name = graph.add_constant(f"{maker.output[0]}_bias", new_bias.astype(np.float32))
        if len(maker.input) > 2:
            maker.input[2] = name
        else:
            maker.input.append(name)


def _activate_before_reshaping(graph: Graph, gemm: NodeProto) -> None:
    """Gemm → Reshape → Relu becomes Gemm → Relu → Reshape, which is the same, and one step of 8-bit arithmetic."""
    reshape = graph.only_reader(gemm.output[0])
    if reshape is None or reshape.op_type != "Reshape" or reshape.input[0] != gemm.output[0]:
        return
    relu = graph.only_reader(reshape.output[0])
    if relu is None or relu.op_type != "Relu":
        return
    early = f"{gemm.output[0]}_relu"
    shape, result, name = reshape.input[1], relu.output[0], relu.name
    settings = {key: value for key, value in attributes(reshape).items() if key == "allowzero"}
    graph.replace_node(reshape, [helper.make_node("Relu", [gemm.output[0]], [early], name=name)])
    graph.replace_node(relu, [helper.make_node("Reshape", [early, shape], [result], name=reshape.name, **settings)])

"""Transposed convolutions, exactly, as convolutions and a rearrangement of pixels.

Onnxruntime has no 8-bit kernel for the former on processors (github.com/microsoft/onnxruntime/issues/8988). Along one
axis a transposed convolution of stride s, kernel w and padding p is

    y[o] = Σ x[i] w[k] over all i and k with s i + k = o + p.

With o + p = s j + r, where 0 ≤ r < s is the phase, only k = r + s t take part, and x[j − t]: every phase is a
convolution of ⌈K / s⌉ taps of its own over the same windows (Shi et al. 2016, "Real-time single image and video
super-resolution", section 3.2, read backwards). All s² phases of two axes are one convolution with s² times the
channels; its results are interleaved, and what padding cuts off is cut off.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from trainer.compress.graph import Graph, attributes
from trainer.compress.interleaving import Blocks, interleave

_FORWARD = ("Relu", "LeakyRelu")
"""Activations that are computed before the interleaving: on the same numbers, and rounded to 8 bits with them."""


@dataclass(frozen=True)
class Rewriting:
    """What was done.

    Attributes:
        done: names of the transposed convolutions that were rewritten.
        left: of those left alone, with the reason of each.
        interleaving: of the nodes that rearrange pixels.
    """

    done: tuple[str, ...]
    left: tuple[str, ...]
    interleaving: tuple[str, ...]


@dataclass(frozen=True)
class _Axis:
    """A transposed convolution along one axis.

    Attributes:
        begin: padding before; end: after.
        extra: output padding.
        size: of the input.
    """

    kernel: int
    stride: int
    begin: int
    end: int
    extra: int
    size: int

    @property
    def taps(self) -> int:
        """Of each phase."""
        return -(-self.kernel // self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """Padding of the convolution: its first window is the first that reaches the output, its last the last."""
        return self.taps - 1 - self.begin // self.stride, (self.kernel - self.end + self.extra - 1) // self.stride

    @property
    def windows(self) -> int:
        """Outputs of the convolution per phase."""
        return self.size + sum(self.pads) - self.taps + 1

    @property
    def cut(self) -> int:
        """Interleaved outputs before the first that is wanted."""
        return self.begin % self.stride

    @property
    def wanted(self) -> int:
        """Size of the output."""
        return self.stride * (self.size - 1) + self.kernel + self.extra - self.begin - self.end


def rewrite_transposed_convolutions(model: ModelProto) -> Rewriting:
    """Rewrite every ConvTranspose of `model` that can be, in place, with the activation that follows it."""
    graph = Graph(model)
    done, left, interleaving = list[str](), list[str](), list[str]()
    for node in graph.nodes:
        if node.op_type != "ConvTranspose":
            continue
        plan = _plan(graph, node)
        if isinstance(plan, str):
            left.append(f"{node.name or node.output[0]}: {plan}")
        else:
            done.append(node.name or node.output[0])
            interleaving += _rewrite(graph, node, *plan)
    graph.drop_unused()
    return Rewriting(tuple(done), tuple(left), tuple(interleaving))


def _plan(graph: Graph, node: NodeProto) -> tuple[_Axis, _Axis] | str:
    """The two axes, or why the node must stay as it is."""
    settings, weights, shape = attributes(node), graph.constant(node.input[1]), graph.shape(node.input[0])
    if weights is None or (len(node.input) > 2 and node.input[2] and graph.constant(node.input[2]) is None):
        return "weights are computed, not constant"
    if weights.ndim != 4:
        return f"{weights.ndim - 2} spatial dimensions, not 2"
    refused: dict[str, Any] = {
        "group": settings.get("group", 1) != 1,
        "dilations": any(each != 1 for each in settings.get("dilations", [1])),
        "auto_pad": settings.get("auto_pad", b"NOTSET") != b"NOTSET",
        "output_shape": "output_shape" in settings,
    }
    for name, refuses in refused.items():
        if refuses:
            value = settings[name]
            return f"{name} {value.decode() if isinstance(value, bytes) else value}"
    sizes = None if shape is None else shape[2:]
    if sizes is None or len(sizes) != 2 or sizes[0] is None or sizes[1] is None:
        return "height and width of its input are not fixed"
    pads, strides = settings.get("pads", [0] * 4), settings.get("strides", [1, 1])
    extra = settings.get("output_padding", [0, 0])
    axes = [
        _Axis(weights.shape[2 + axis], strides[axis], pads[axis], pads[2 + axis], extra[axis], size)
        for axis, size in enumerate((sizes[0], sizes[1]))
    ]
    for axis in axes:
        if min(axis.pads) < 0 or axis.wanted < 1 or axis.cut + axis.wanted > axis.windows * axis.stride:
            return f"pads {list(pads)} beyond its kernel {list(weights.shape[2:])}"
    return axes[0], axes[1]


def _rewrite(graph: Graph, node: NodeProto, rows: _Axis, columns: _Axis) -> list[str]:
    """Convolution → what may come before → interleaving → cut; names of the nodes of the last two."""
    weights = graph.constant(node.input[1])
    assert weights is not None
    phases, channels = rows.stride * columns.stride, weights.shape[1]
    name = node.name or node.output[0]
    inputs = [node.input[0], graph.add_constant(f"{name}_phases", _phase_weights(weights, rows, columns))]
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if bias is not None:
        inputs.append(graph.add_constant(f"{name}_phases_bias", np.tile(bias, phases)))
    tail = _followers(graph, node.output[0], channels) if phases > 1 else []
    last = tail[-1].node if tail else node
    result = last.output[0]
    current = f"{name}_convolved" if phases > 1 else result
    pads = [rows.pads[0], columns.pads[0], rows.pads[1], columns.pads[1]]
    shape = [rows.taps, columns.taps]
    new = [helper.make_node("Conv", inputs, [current], name=f"{name}_conv", kernel_shape=shape, pads=pads)]
    for follower in tail:
        moved = f"{follower.node.output[0]}_early"
        new += _moved(graph, follower, current, moved, phases)
        current = moved
    interleaving = []
    if phases > 1:
        blocks = Blocks(
            channels=channels,
            count=(rows.windows, columns.windows),
            size=(rows.stride, columns.stride),
            start=(rows.cut, columns.cut),
            wanted=(rows.wanted, columns.wanted),
        )
        interleaving = interleave(graph, name, current, result, blocks)
    graph.replace_node(last, [*new, *interleaving])
    for old in (node, *(follower.node for follower in tail)):
        if old is not last:
            graph.model.graph.node.remove(old)
    return [each.name for each in interleaving]


def _phase_weights(weights: NDArray[np.float32], rows: _Axis, columns: _Axis) -> NDArray[np.float32]:
    """``[inputs, outputs, K, K]`` to ``[phases · outputs, inputs, taps, taps]``, by row phase, then column phase.

    k = s t + r, so that cutting the kernel's axis in pieces of s gives taps and phases; tap t looks t windows back.
    """
    inputs, outputs = weights.shape[:2]
    missing = [axis.taps * axis.stride - axis.kernel for axis in (rows, columns)]
    whole = np.pad(weights, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])))
    parts = whole.reshape(inputs, outputs, rows.taps, rows.stride, columns.taps, columns.stride)
    backwards = parts[:, :, ::-1, :, ::-1, :]
    ordered = backwards.transpose(3, 5, 1, 0, 2, 4)
    return np.ascontiguousarray(ordered.reshape(-1, inputs, rows.taps, columns.taps))


@dataclass(frozen=True)
class _Follower:
    """A node that treats every pixel alike.

    Attributes:
        factor: the tensor with one number per channel that it multiplies by or adds; None for an activation.
    """

    node: NodeProto
    factor: str | None


def _followers(graph: Graph, name: str, channels: int) -> list[_Follower]:
    """The chain of such nodes after tensor `name`, up to the last activation in it."""
    chain: list[_Follower] = []
    while (node := graph.only_reader(name)) is not None:
        factor = None
        if node.op_type in ("Mul", "Add"):
            factor = next(other for other in node.input if other != name)
            if (graph.shape(factor) or [])[1:] != [channels, 1, 1]:
                break
        elif node.op_type not in _FORWARD:
            break
        chain.append(_Follower(node, factor))
        name = node.output[0]
    while chain and chain[-1].factor is not None:
        chain.pop()
    return chain


def _moved(graph: Graph, follower: _Follower, source: str, target: str, phases: int) -> list[NodeProto]:
    """`follower` from tensor `source` to `target`, on all phases at once."""
    node, factor = follower.node, follower.factor
    if factor is None:
        return [helper.make_node(node.op_type, [source], [target], name=node.name, **attributes(node))]
    repeats = graph.add_constant(f"{target}_repeats", np.array([1, phases, 1, 1], np.int64))
    tiled = f"{target}_factor"
    return [
        helper.make_node("Tile", [factor, repeats], [tiled], name=tiled),
        helper.make_node(node.op_type, [source, tiled], [target], name=node.name),
    ]

"""An ONNX graph under edit: who makes a tensor, who reads it, what is constant."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper


class Graph:
    """A model whose nodes are in the order in which they compute. Changes are made in the model itself."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self._shapes: dict[str, list[int | None]] | None = None

    @property
    def nodes(self) -> list[NodeProto]:
        """A list of its own, so that nodes may be changed while one walks through it."""
        return list(self.model.graph.node)

    def constant(self, name: str) -> NDArray[Any] | None:
        """The initializer `name`, None where the tensor is computed or there is none."""
        return next((numpy_helper.to_array(each) for each in self.model.graph.initializer if each.name == name), None)

    def producer(self, name: str) -> NodeProto | None:
        """The node that computes tensor `name`; None for inputs and initializers."""
        return next((node for node in self.model.graph.node if name in node.output), None)

    def readers(self, name: str) -> list[NodeProto]:
        """Nodes that read tensor `name`."""
        return [node for node in self.model.graph.node if name in node.input]

    def only_reader(self, name: str) -> NodeProto | None:
        """The node that alone reads tensor `name`, which is no output of the graph; None where there are others."""
        readers = self.readers(name)
        if len(readers) != 1 or list(readers[0].input).count(name) != 1:
            return None
        return None if any(output.name == name for output in self.model.graph.output) else readers[0]

    def shape(self, name: str) -> list[int | None] | None:
        """Shape of tensor `name` as it follows from the graph, None for what depends on the input; None where nothing
        follows. Nothing is known of tensors that were added since the first question."""
        if self._shapes is None:
            self._shapes = _inferred_shapes(self.model)
        return self._shapes.get(name)

    def add_constant(self, name: str, values: NDArray[Any]) -> str:
        """A new initializer, named `name` or so."""
        taken = {each.name for each in self.model.graph.initializer}
        taken |= {output for node in self.model.graph.node for output in node.output}
        taken |= {each.name for each in self.model.graph.input}
        free, count = name, 1
        while free in taken:
            count += 1
            free = f"{name}_{count}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), free))
        return free

    def replace_node(self, node: NodeProto, by: Sequence[NodeProto]) -> None:
        """Put nodes in the place of one."""
        at = self._position(node)
        self.model.graph.node.remove(node)
        for offset, new in enumerate(by):
            self.model.graph.node.insert(at + offset, new)

    def insert_before(self, node: NodeProto, new: NodeProto) -> None:
        """Put a node right before another."""
        self.model.graph.node.insert(self._position(node), new)

    def insert_after(self, node: NodeProto, new: NodeProto) -> None:
        """Put a node right behind another."""
        self.model.graph.node.insert(self._position(node) + 1, new)

    def insert_first(self, nodes: Sequence[NodeProto]) -> None:
        """Put nodes that read initializers alone before all others."""
        for offset, node in enumerate(nodes):
            self.model.graph.node.insert(offset, node)

    def precompute(self, kind: str, inputs: Sequence[str], result: str, **settings: Any) -> str:
        """Name of tensor `result`, which follows from initializers: made before all else, once however often asked."""
        if self.producer(result) is None:
            self.insert_first([helper.make_node(kind, inputs, [result], **settings)])
        return result

    def redirect(self, old: str, new: str) -> None:
        """Have every reader of tensor `old` read `new`."""
        for node in self.model.graph.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new

    def drop_unused(self) -> None:
        """Remove nodes whose results nobody reads, and then initializers that nobody reads."""
        outputs = {output.name for output in self.model.graph.output}
        while True:
            read = outputs | {name for node in self.model.graph.node for name in node.input}
            dead = [node for node in self.model.graph.node if not read.intersection(node.output)]
            if not dead:
                break
            for node in dead:
                self.model.graph.node.remove(node)
        for initializer in [each for each in self.model.graph.initializer if each.name not in read]:
            self.model.graph.initializer.remove(initializer)

    def _position(self, node: NodeProto) -> int:
        outputs = list(node.output)
        return next(at for at, each in enumerate(self.model.graph.node) if list(each.output) == outputs)


def attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values."""
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def copy_of(model: ModelProto) -> ModelProto:
    """A model of its own."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _inferred_shapes(model: ModelProto) -> dict[str, list[int | None]]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes: dict[str, list[int | None]] = {each.name: list(each.dims) for each in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            shapes[value.name] = [side.dim_value if side.HasField("dim_value") else None for side in kind.shape.dim]
    return shapes

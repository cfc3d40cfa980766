"""ONNX graphs without what is not computation: exporters leave source paths, code and stale shapes in them."""

from collections.abc import Iterable, Iterator

from onnx import GraphProto, ModelProto, NodeProto


def strip(model: ModelProto) -> None:
    """Remove metadata and comments everywhere, in subgraphs and functions too, the names of operator sets that nobody
    uses, and the shapes of inner tensors, which break quantizers."""
    del model.metadata_props[:]
    model.doc_string = ""
    _strip_graph(model.graph)
    domains = {node.domain for node in _nodes(model.graph.node)}
    for function in model.functions:
        del function.metadata_props[:]
        function.doc_string = ""
        del function.value_info[:]
        _strip_nodes(function.node)
        domains |= {node.domain for node in _nodes(function.node)}
    for operators in list(model.opset_import):
        if operators.domain and operators.domain not in domains:
            model.opset_import.remove(operators)


def _strip_graph(graph: GraphProto) -> None:
    del graph.metadata_props[:]
    graph.doc_string = ""
    del graph.value_info[:]
    for values in (graph.input, graph.output, graph.initializer):
        for value in values:
            del value.metadata_props[:]
            value.doc_string = ""
    _strip_nodes(graph.node)


def _strip_nodes(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        del node.metadata_props[:]
        node.doc_string = ""
        for attribute in node.attribute:
            attribute.doc_string = ""
            if attribute.HasField("t"):
                attribute.t.doc_string = ""
                del attribute.t.metadata_props[:]
        for graph in _subgraphs(node):
            _strip_graph(graph)


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """Those of subgraphs, too."""
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _nodes(graph.node)


def _subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs

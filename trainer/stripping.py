"""ONNX graphs without what is not computation: exporters leave source paths, code and stale shapes in them."""

from collections.abc import Iterable

from onnx import GraphProto, ModelProto, NodeProto


def strip(model: ModelProto) -> None:
    """Remove metadata and comments everywhere, in subgraphs and functions too, and the shapes of inner tensors, which
    break quantizers."""
    del model.metadata_props[:]
    model.doc_string = ""
    _strip_graph(model.graph)
    for function in model.functions:
        del function.metadata_props[:]
        function.doc_string = ""
        del function.value_info[:]
        _strip_nodes(function.node)


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
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _strip_graph(graph)
            if attribute.HasField("t"):
                attribute.t.doc_string = ""
                del attribute.t.metadata_props[:]

"""Nothing of an ONNX graph is left that does not compute, wherever it hides."""

import onnx
from onnx import TensorProto, helper

from trainer.stripping import strip

PLACE = "/home/somebody/secret.py"


def test_paths_go_from_every_corner_of_a_model() -> None:
    condition = helper.make_tensor("condition", TensorProto.BOOL, [], [True])

    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("Identity", ["x"], [f"{name}_out"], doc_string=PLACE)
        node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=PLACE)
        output = helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [1])
        return helper.make_graph([node], name, [], [output], doc_string=PLACE)

    outer = helper.make_node("If", ["condition"], ["y"], then_branch=branch("then"), else_branch=branch("otherwise"))
    constant = helper.make_node("Constant", [], ["unused"], value=helper.make_tensor("c", TensorProto.FLOAT, [1], [0]))
    constant.attribute[0].doc_string = constant.attribute[0].t.doc_string = PLACE
    graph = helper.make_graph(
        [outer, constant],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1], doc_string=PLACE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1], doc_string=PLACE)],
        [condition],
        doc_string=PLACE,
        value_info=[helper.make_tensor_value_info("unused", TensorProto.FLOAT, [1], doc_string=PLACE)],
    )
    function = helper.make_function(
        "own",
        "F",
        ["a"],
        ["b"],
        [helper.make_node("Neg", ["a"], ["b"], doc_string=PLACE)],
        [helper.make_opsetid("", 20)],
    )
    function.doc_string = PLACE
    model = helper.make_model(graph, functions=[function], opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model.doc_string = PLACE
    model.metadata_props.add(key="source", value=PLACE)
    model.graph.metadata_props.add(key="source", value=PLACE)
    condition_stored = model.graph.initializer[0]
    condition_stored.doc_string = PLACE
    assert PLACE.encode() in model.SerializeToString()
    strip(model)
    assert PLACE.encode() not in model.SerializeToString()
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["If", "Constant"]

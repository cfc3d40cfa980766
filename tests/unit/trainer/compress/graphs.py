"""Small ONNX graphs with random weights, and what onnxruntime makes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Normal numbers."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def make_model(
    nodes: Sequence[NodeProto],
    constants: dict[str, NDArray[Any]],
    inputs: dict[str, Sequence[int | str]],
    output: Sequence[int | str | None],
) -> ModelProto:
    """A checked model with float inputs and one output `y` (int64 for an input called `label`)."""
    kinds = {name: TensorProto.INT64 if name == "label" else TensorProto.FLOAT for name in inputs}
    graph = helper.make_graph(
        list(nodes),
        "small",
        [helper.make_tensor_value_info(name, kinds[name], shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def run(model: ModelProto, **inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Its output, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(["y"], inputs)
    return outputs[0]


def kinds(model: ModelProto) -> list[str]:
    """Operators in the order in which they compute."""
    return [node.op_type for node in model.graph.node]

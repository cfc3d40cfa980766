"""Scales and shifts go into the weights, and nothing else changes."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from tests.unit.trainer.compress.graphs import kinds, make_model, random, run
from trainer.compress.folding import fold
from trainer.compress.graph import copy_of

TOLERANCE = 1e-5
PER_CHANNEL = {"s": random(1, 3, 1, 1, seed=1), "t": random(1, 3, 1, 1, seed=2)}


def folded(model: ModelProto) -> ModelProto:
    result = copy_of(model)
    fold(result)
    onnx.checker.check_model(result, full_check=True)
    return result


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "weights"), [("Conv", (3, 2, 3, 3)), ("ConvTranspose", (2, 3, 4, 4))])
def test_into_a_convolution(kind: str, weights: tuple[int, ...], bias: bool) -> None:
    constants = {"w": random(*weights), **({"b": random(3, seed=3)} if bias else {}), **PER_CHANNEL}
    nodes = [
        helper.make_node(kind, ["x", "w", *(["b"] if bias else [])], ["a"]),
        helper.make_node("Mul", ["a", "s"], ["m"]),
        helper.make_node("Add", ["t", "m"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    model = make_model(nodes, constants, {"x": ["n", 2, 5, 5]}, ["n", 3, None, None])
    x = random(4, 2, 5, 5, seed=4)
    result = folded(model)
    assert kinds(result) == [kind, "Relu"]
    assert {each.name for each in result.graph.initializer}.isdisjoint(constants)
    np.testing.assert_allclose(run(result, x=x), run(model, x=x), atol=TOLERANCE)


def test_into_a_dense_layer_whose_outputs_become_a_feature_map() -> None:
    constants = {"w": random(3 * 4, 6), "shape": np.array([-1, 3, 2, 2]), **PER_CHANNEL}
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["a"], transB=1),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Mul", ["b", "s"], ["c"]),
        helper.make_node("Add", ["c", "t"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Conv", ["e", "v"], ["y"]),
    ]
    model = make_model(nodes, constants | {"v": random(1, 3, 2, 2)}, {"x": ["n", 6]}, ["n", 1, 1, 1])
    x = random(5, 6, seed=4)
    result = folded(model)
    assert kinds(result) == ["Gemm", "Relu", "Reshape", "Conv"]
    np.testing.assert_allclose(run(result, x=x), run(model, x=x), atol=TOLERANCE)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transposed", [True, False])
def test_a_table_of_one_row_beside_what_varies_becomes_a_bias(first: bool, bias: bool, transposed: bool) -> None:
    weights = random(5, 7) if transposed else random(7, 5)
    constants = {"table": random(1, 3), "w": weights, "b": random(5)}
    nodes = [
        helper.make_node("Gather", ["table", "label"], ["row"]),
        helper.make_node("Concat", ["row", "x"] if first else ["x", "row"], ["both"], axis=1),
        helper.make_node("Gemm", ["both", "w", "b"][: 3 if bias else 2], ["y"], transB=int(transposed)),
    ]
    model = make_model(nodes, constants, {"x": ["n", 4], "label": ["n"]}, ["n", 5])
    x, label = random(6, 4), np.zeros(6, np.int64)
    expected = run(model, x=x, label=label)
    fold(model)
    assert kinds(model) == ["Gemm"]
    assert np.allclose(run(model, x=x, label=label), expected, atol=1e-5)


def test_a_table_of_one_row_is_a_constant_and_one_of_two_is_not() -> None:
    def model(classes: int) -> ModelProto:
        nodes = [
            helper.make_node("Gather", ["table", "label"], ["row"]),
            helper.make_node("Unsqueeze", ["row", "axes"], ["factor"]),
            helper.make_node("Conv", ["x", "w"], ["a"]),
            helper.make_node("Mul", ["a", "factor"], ["y"]),
            helper.make_node("Relu", ["y"], ["z"]),
        ]
        nodes[-1].output[0], nodes[-2].output[0], nodes[-1].input[0] = "y", "scaled", "scaled"
        constants = {"table": random(classes, 3), "axes": np.array([2, 3]), "w": random(3, 2, 1, 1)}
        return make_model(nodes, constants, {"x": ["n", 2, 2, 2], "label": ["n"]}, ["n", 3, 2, 2])

    x, label = random(4, 2, 2, 2), np.zeros(4, np.int64)
    one = folded(model(1))
    assert kinds(one) == ["Conv", "Relu"]
    np.testing.assert_allclose(run(one, x=x, label=label), run(model(1), x=x, label=label), atol=TOLERANCE)
    two = folded(model(2))
    assert kinds(two) == kinds(model(2))


@pytest.mark.parametrize("what", ["shared", "spatial", "grouped"])
def test_what_is_not_one_number_per_channel_of_one_layer_stays(what: str) -> None:
    factor = random(1, 4, 5, 5) if what == "spatial" else random(1, 4, 1, 1)
    group = 2 if what == "grouped" else 1
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], group=group),
        helper.make_node("Mul", ["a", "s"], ["b"]),
        helper.make_node("Add", ["b", "a"] if what == "shared" else ["b", "b"], ["y"]),
    ]
    model = make_model(nodes, {"w": random(4, 2 // group, 1, 1), "s": factor}, {"x": ["n", 2, 5, 5]}, ["n", 4, 5, 5])
    x = random(2, 2, 5, 5, seed=1)
    result = folded(model)
    assert kinds(result) == kinds(model)
    np.testing.assert_array_equal(run(result, x=x), run(model, x=x))

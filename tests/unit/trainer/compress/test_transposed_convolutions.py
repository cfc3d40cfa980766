"""The rewrite of transposed convolutions is exact, and leaves alone what it cannot rewrite."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from tests.unit.trainer.compress.graphs import kinds, make_model, random, run
from trainer.compress.graph import copy_of
from trainer.compress.transposed_convolutions import rewrite_transposed_convolutions

TOLERANCE = 1e-5


def transposed(
    kernel: tuple[int, int], size: tuple[int | str, int | str], *, bias: bool = True, channels: int = 3, **settings: Any
) -> ModelProto:
    """One transposed convolution of 5 channels, scaled so that outputs are about 1."""
    group = settings.get("group", 1)
    weights = random(5 if group == 1 else 4, channels, *kernel) / np.float32(np.sqrt(5 * kernel[0] * kernel[1]))
    constants = {"w": weights} | ({"b": random(channels * group, seed=1)} if bias else {})
    node = helper.make_node("ConvTranspose", ["x", *constants], ["y"], name="layer", **settings)
    inputs: dict[str, Any] = {"x": ["n", weights.shape[0], *size]}
    return make_model([node], constants, inputs, ["n", channels * group, None, None])


def rewritten(model: ModelProto) -> ModelProto:
    """A copy without transposed convolutions."""
    result = copy_of(model)
    found = rewrite_transposed_convolutions(result)
    assert found.left == ()
    assert "ConvTranspose" not in kinds(result)
    onnx.checker.check_model(result, full_check=True)
    return result


@pytest.mark.parametrize("size", [(7, 7), (1, 1), (5, 8)], ids=str)
@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        ((4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((3, 3), {"strides": [1, 1], "pads": [1, 1, 1, 1]}),
        ((4, 4), {"strides": [1, 1], "pads": [1, 1, 1, 1]}),
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((4, 4), {"strides": [2, 2]}),
        ((4, 4), {"strides": [2, 2], "output_padding": [1, 1]}),
        ((3, 3), {"strides": [2, 2], "output_padding": [1, 0]}),
        ((2, 2), {"strides": [2, 2]}),
        ((5, 5), {"strides": [2, 2], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
        ((6, 6), {"strides": [3, 3], "pads": [2, 1, 1, 0]}),
        ((4, 3), {"strides": [2, 1], "pads": [1, 1, 1, 1]}),
        ((3, 4), {"strides": [1, 2], "pads": [1, 0, 1, 1]}),
        ((2, 2), {"strides": [3, 3], "output_padding": [2, 1]}),
        ((4, 4), {"strides": [2, 2], "pads": [3, 3, 0, 0]}),
        ((1, 1), {"strides": [1, 1]}),
    ],
    ids=str,
)
def test_it_is_exact(kernel: tuple[int, int], settings: dict[str, Any], size: tuple[int, int]) -> None:
    for bias in (True, False):
        model = transposed(kernel, size, bias=bias, **settings)
        x = random(3, 5, *size, seed=2)
        expected, found = run(model, x=x), run(rewritten(model), x=x)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < TOLERANCE
        assert expected.std() > 0.1, "zeros would agree with anything"


@pytest.mark.parametrize(
    ("kernel", "size", "settings", "reason"),
    [
        ((4, 4), (7, 7), {"strides": [2, 2], "group": 2}, "layer: group 2"),
        ((3, 3), (7, 7), {"dilations": [2, 2]}, "layer: dilations [2, 2]"),
        ((4, 4), (7, 7), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, "layer: auto_pad SAME_UPPER"),
        ((4, 4), (7, 7), {"strides": [2, 2], "output_shape": [14, 14]}, "layer: output_shape [14, 14]"),
        ((4, 4), ("height", "width"), {"strides": [2, 2]}, "layer: height and width of its input are not fixed"),
        (
            (2, 2),
            (7, 7),
            {"strides": [2, 2], "pads": [2, 2, 0, 0]},
            "layer: pads [2, 2, 0, 0] beyond its kernel",
        ),
    ],
)
def test_what_it_cannot_rewrite_is_left_alone_and_reported(
    kernel: tuple[int, int], size: tuple[int | str, int | str], settings: dict[str, Any], reason: str
) -> None:
    model = transposed(kernel, size, **settings)
    before = model.SerializeToString()
    found = rewrite_transposed_convolutions(model)
    assert found.done == ()
    assert len(found.left) == 1
    assert found.left[0].startswith(reason)
    assert model.SerializeToString() == before


def test_other_numbers_of_axes_and_computed_weights_are_left_alone() -> None:
    line = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="line")
    model = make_model([line], {"w": random(2, 2, 4)}, {"x": ["n", 2, 7]}, ["n", 2, None])
    assert rewrite_transposed_convolutions(model).left == ("line: 1 spatial dimensions, not 2",)
    nodes = [helper.make_node("Neg", ["w"], ["v"]), helper.make_node("ConvTranspose", ["x", "v"], ["y"], name="own")]
    model = make_model(nodes, {"w": random(2, 2, 4, 4)}, {"x": ["n", 2, 7, 7]}, ["n", 2, None, None])
    assert rewrite_transposed_convolutions(model).left == ("own: weights are computed, not constant",)


def test_the_activation_and_the_classes_norm_come_before_the_pixels_are_interleaved() -> None:
    layer: dict[str, Any] = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Gather", ["table", "label"], ["row"]),
        helper.make_node("Unsqueeze", ["row", "axes"], ["factor"]),
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], name="first", **layer),
        helper.make_node("Mul", ["a", "factor"], ["scaled"]),
        helper.make_node("Add", ["factor", "scaled"], ["shifted"]),
        helper.make_node("Relu", ["shifted"], ["b"]),
        helper.make_node("ConvTranspose", ["b", "v"], ["c"], name="second", **layer),
        helper.make_node("Tanh", ["c"], ["y"]),
    ]
    constants = {
        "table": random(4, 3), "axes": np.array([2, 3]), "w": random(5, 3, 4, 4) / 8, "v": random(3, 2, 4, 4) / 6,
    }  # fmt: skip
    model = make_model(nodes, constants, {"x": ["n", 5, 3, 3], "label": ["n"]}, ["n", 2, 12, 12])
    x, label = random(6, 5, 3, 3, seed=5), np.arange(6) % 4
    expected = run(model, x=x, label=label)
    result = rewritten(model)
    assert np.abs(run(result, x=x, label=label) - expected).max() < TOLERANCE
    order = kinds(result)
    assert order.index("Relu") < order.index("Transpose")
    assert order.index("Mul") < order.index("Transpose")
    assert order.index("Tanh") == len(order) - 1


def test_a_result_that_others_read_is_interleaved_at_once() -> None:
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["a"], name="layer", strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    model = make_model(nodes, {"w": random(2, 2, 2, 2)}, {"x": ["n", 2, 3, 3]}, ["n", 2, 6, 6])
    x = random(2, 2, 3, 3, seed=1)
    assert np.abs(run(rewritten(model), x=x) - run(model, x=x)).max() < TOLERANCE

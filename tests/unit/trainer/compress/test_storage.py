"""Weights in fewer bits: how far they are from what they were, how large the file is, and that it runs anywhere."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from tests.unit.trainer.compress.graphs import make_model, random, run
from trainer.compress.base import Architecture, QuantizationMethod
from trainer.compress.fp16 import Fp16Config
from trainer.compress.int8_weights import Int8WeightsConfig

BYTES, NIBBLES, HALVES = Int8WeightsConfig(), Int8WeightsConfig(bits=4), Fp16Config()


def dense(rows: int = 512, columns: int = 64) -> ModelProto:
    """y = x Wᵀ; the identity for x shows the weights themselves."""
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    outliers = np.linspace(0.1, 10, rows, dtype=np.float32)[:, None]
    return make_model([node], {"w": random(rows, columns) * outliers}, {"x": ["n", columns]}, ["n", rows])


def weights_of(model: ModelProto, columns: int = 64) -> np.ndarray:
    return run(model, x=np.eye(columns, dtype=np.float32)).T


@pytest.mark.parametrize(
    ("method", "size", "error"), [(BYTES, 0.25, 1 / 254), (NIBBLES, 0.125 + 1 / 32, 1 / 14), (HALVES, 0.5, 2**-11)]
)
def test_each_weight_is_within_half_a_step_and_the_file_that_much_smaller(
    method: QuantizationMethod, size: float, error: float
) -> None:
    model = dense()
    result = method.apply(model, {}).model
    onnx.checker.check_model(result, full_check=True)
    before, after = weights_of(model), weights_of(result)
    largest = np.abs(before).max(1, keepdims=True)  # no block has a larger step than its row
    assert (np.abs(after - before) <= largest * error * 1.001).all()
    assert np.abs(after - before).max() > 0, "nothing was rounded"
    assert result.ByteSize() / model.ByteSize() == pytest.approx(size, rel=0.12)
    assert weights_of(model) is not before and np.array_equal(weights_of(model), before), "the original was changed"


@pytest.mark.parametrize("rows", [7, 30])
def test_four_bits_of_any_number_of_weights(rows: int) -> None:
    model = dense(rows, 47)
    before, after = weights_of(model, 47), weights_of(NIBBLES.apply(model, {}).model, 47)
    assert after.shape == before.shape
    assert np.abs(after - before).max() <= np.abs(before).max() / 14 * 1.001


@pytest.mark.parametrize("method", [BYTES, NIBBLES, HALVES], ids=["8 bits", "4 bits", "fp16"])
def test_zeros_and_what_does_not_fit_survive(method: QuantizationMethod) -> None:
    weights = np.zeros((64, 64), np.float32)
    weights[3] = 1e5  # more than half precision holds
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    model = make_model([node], {"w": weights}, {"x": ["n", 64]}, ["n", 64])
    np.testing.assert_allclose(weights_of(method.apply(model, {}).model), weights, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "shape", "axis", "settings"),
    [
        ("Conv", (8, 8, 3, 3), 0, {}),
        ("ConvTranspose", (8, 8, 3, 3), 1, {}),
        ("Gemm", (32, 16), 0, {"transB": 1}),
        ("Gemm", (16, 32), 1, {}),
        ("MatMul", (16, 32), 1, {}),
    ],
)
def test_every_output_of_a_layer_has_a_scale_of_its_own(
    kind: str, shape: tuple[int, ...], axis: int, settings: dict[str, Any]
) -> None:
    node = helper.make_node(kind, ["x", "w"], ["y"], **settings)
    sides: list[int | str] = ["n", 8, 5, 5] if "Conv" in kind else ["n", 16]
    model = make_model([node], {"w": random(*shape)}, {"x": sides}, [None] * (4 if "Conv" in kind else 2))
    result = BYTES.apply(model, {}).model
    [scales] = [each for each in result.graph.initializer if each.name.endswith("_scales")]
    assert [index for index, side in enumerate(scales.dims) if side > 1] == [axis]


def test_they_take_any_graph() -> None:
    nothing = Architecture(convolutions=0, transposed=0, recurrent=0, dense=0)
    assert [method.refusal(nothing) for method in (BYTES, NIBBLES, HALVES)] == [None] * 3

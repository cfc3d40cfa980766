"""Enlarging and a convolution as one layer is exact, and leaves alone what is something else."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper

from tests.unit.trainer.compress.generators import KINDS
from tests.unit.trainer.compress.graphs import kinds, make_model, random, run
from trainer.compress.enlarging import join_enlarging
from trainer.compress.graph import Graph, attributes, copy_of
from trainer.compress.int8 import Int8Config
from trainer.compress.transposed_convolutions import rewrite_transposed_convolutions
from trainer.export import GraphSession
from trainer.probes import CALIBRATION_SEED, PARITY_SEED, draw_probe

REPEATING: dict[str, Any] = {
    "mode": "nearest",
    "nearest_mode": "floor",
    "coordinate_transformation_mode": "asymmetric",
}


def enlarged(
    kernel: tuple[int, int],
    factors: tuple[float, float],
    *,
    resize: dict[str, Any] = REPEATING,
    bias: bool = True,
    **settings: Any,
) -> ModelProto:
    """6 × 5 pixels of 4 channels enlarged, then a convolution of 3, scaled so that outputs are about 1."""
    weights = random(3, 4 // settings.get("group", 1), *kernel) / np.float32(np.sqrt(4 * kernel[0] * kernel[1]))
    constants = {"s": np.array([1, 1, *factors], np.float32), "w": weights} | ({"b": random(3)} if bias else {})
    nodes = [
        helper.make_node("Resize", ["x", "", "s"], ["large"], **resize),
        helper.make_node("Conv", ["large", "w", *(["b"] if bias else [])], ["y"], name="layer", **settings),
    ]
    return make_model(nodes, constants, {"x": ["n", 4, 6, 5]}, ["n", 3, None, None])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("kernel", "factors", "pads"),
    [
        ((3, 3), (2, 2), [1, 1, 1, 1]),
        ((5, 5), (2, 2), [2, 2, 2, 2]),
        ((3, 3), (3, 3), [1, 1, 1, 1]),
        ((3, 5), (2, 3), [0, 2, 1, 1]),
        ((1, 1), (2, 2), [0, 0, 0, 0]),
        ((4, 4), (2, 2), [1, 1, 2, 2]),
        ((3, 3), (2, 2), None),
        ((3, 3), (4, 1), [1, 1, 1, 1]),
    ],
    ids=str,
)
def test_it_is_exact(kernel: tuple[int, int], factors: tuple[int, int], pads: list[int] | None, bias: bool) -> None:
    settings: dict[str, Any] = {} if pads is None else {"pads": pads}
    model = enlarged(kernel, factors, bias=bias, **settings)
    joined = copy_of(model)
    assert join_enlarging(joined) == ("layer",)
    assert kinds(joined) == ["ConvTranspose"]
    onnx.checker.check_model(joined, full_check=True)
    phased = copy_of(joined)
    assert rewrite_transposed_convolutions(phased).left == ()
    x = random(3, 4, 6, 5, seed=2)
    expected = run(model, x=x)
    assert expected.std() > 0.1, "zeros would agree with anything"
    for found in (run(joined, x=x), run(phased, x=x)):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("resize", "factors", "settings"),
    [
        (REPEATING, (1.5, 1.5), {"pads": [1, 1, 1, 1]}),
        (REPEATING | {"nearest_mode": "ceil"}, (2, 2), {"pads": [1, 1, 1, 1]}),
        ({"mode": "linear"}, (2, 2), {"pads": [1, 1, 1, 1]}),
        (REPEATING, (2, 2), {"strides": [2, 2]}),
        (REPEATING, (2, 2), {"dilations": [2, 2]}),
        (REPEATING, (2, 2), {"auto_pad": "SAME_UPPER"}),
        (REPEATING, (2, 2), {"pads": [3, 1, 1, 1]}),
    ],
    ids=str,
)
def test_what_is_something_else_is_left_alone(
    resize: dict[str, Any], factors: tuple[float, float], settings: dict[str, Any]
) -> None:
    model = enlarged((3, 3), factors, resize=resize, **settings)
    before = model.SerializeToString()
    assert join_enlarging(model) == ()
    assert model.SerializeToString() == before


def test_an_enlarged_image_that_others_read_too_stays() -> None:
    model = enlarged((3, 3), (2, 2), pads=[1, 1, 1, 1])
    model.graph.output.append(helper.make_tensor_value_info("large", onnx.TensorProto.FLOAT, ["n", 4, 12, 10]))
    assert join_enlarging(model) == ()


@pytest.mark.parametrize("name", ["upsampling", "upsampling without classes", "resnet"])
def test_a_generator_draws_the_same_and_stays_in_8_bits_between_its_layers(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.export(tmp_path / "whole.onnx")
    model = onnx.load(tmp_path / "whole.onnx")
    assert len(join_enlarging(model)) == sum(op == "Resize" for op in kinds(onnx.load(tmp_path / "whole.onnx"))) // (
        2 if name == "resnet" else 1  # the other one is of the shortcut, without a convolution behind it
    )
    rewrite_transposed_convolutions(model)
    onnx.save(model, tmp_path / "phases.onnx")
    dim, classes = kind.build().latent_dim, kind.spec.classes if kind.spec.classes > 1 else 0
    probe = draw_probe(PARITY_SEED, 24, dim, classes)
    expected, found = (
        GraphSession(tmp_path / f"{which}.onnx")(probe.latents, probe.labels).astype(int)
        for which in ("whole", "phases")
    )
    assert np.abs(found - expected).max() <= 1
    calibration = draw_probe(CALIBRATION_SEED, 48, dim, classes)
    quantized = Int8Config(images=48).apply(model, calibration.inputs()).model
    onnx.save(quantized, tmp_path / "int8.onnx")
    rounded = GraphSession(tmp_path / "int8.onnx")(probe.latents, probe.labels).astype(int)
    assert 10 * np.log10(255**2 / np.square(rounded - expected).mean()) > 28
    graph = Graph(quantized)
    inferred = onnx.shape_inference.infer_shapes(quantized).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    movers = [node for node in graph.nodes if len(attributes(node).get("perm", ())) == 5]
    assert movers
    assert {types[node.input[0]] for node in movers} == {onnx.TensorProto.UINT8}

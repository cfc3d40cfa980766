"""What is done to a graph after onnxruntime's quantizer: the same bytes from fewer or faster steps."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from tests.unit.trainer.compress.generators import KINDS
from trainer.compress import int8
from trainer.compress.blocks import compute_blocks
from trainer.compress.eight_bits import tidy
from trainer.compress.eight_bits.channel_factors import factor_rows
from trainer.compress.eight_bits.constants import leave_out_what_follows, shorten_names
from trainer.compress.eight_bits.kernels import fill_kernels
from trainer.compress.eight_bits.pixels import copy_pixels, move_bytes
from trainer.compress.flat_arithmetic import flatten_arithmetic
from trainer.compress.graph import Graph, copy_of
from trainer.compress.int8 import Int8Config
from trainer.export import GraphSession
from trainer.probes import CALIBRATION_SEED, PARITY_SEED, draw_probe

EVERY = ("dcgan", "dcgan with classes", "upsampling", "resnet")


@pytest.fixture(scope="module", params=EVERY)
def quantized(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ModelProto]:
    """A kind of generator, and its graph as onnxruntime's quantizer leaves it."""
    kind = KINDS[request.param]
    path = tmp_path_factory.mktemp("quantized") / "generator.onnx"
    kind.export(path)
    generator, classes = kind.build(), kind.spec.classes if kind.spec.classes > 1 else 0
    probe = draw_probe(CALIBRATION_SEED, 48, generator.latent_dim, classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "tidy", lambda _: None)
        return request.param, Int8Config(images=48, least_weights=500).apply(onnx.load(path), probe.inputs()).model


def images(model: ModelProto, name: str, folder: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    onnx.checker.check_model(model)
    path = folder / "graph.onnx"
    onnx.save(model, path)
    kind = KINDS[name]
    probe = draw_probe(PARITY_SEED, 24, kind.build().latent_dim, kind.spec.classes if kind.spec.classes > 1 else 0)
    return np.concatenate([GraphSession(path)(probe.latents, probe.labels, batch=size) for size in (1, 8)])


def operators(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


STEPS: dict[Callable[[Graph], None], tuple[str, ...]] = {
    copy_pixels: ("upsampling", "resnet"),
    move_bytes: EVERY,
    flatten_arithmetic: EVERY,
    compute_blocks: ("upsampling", "resnet"),
    fill_kernels: EVERY,
    factor_rows: ("dcgan with classes", "upsampling", "resnet"),
    leave_out_what_follows: EVERY,
    shorten_names: EVERY,
}
"""Each with the kinds of generators that it changes."""


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_keeps_every_byte(
    step: Callable[[Graph], None], quantized: tuple[str, ModelProto], tmp_path: Path
) -> None:
    name, model = quantized
    changed = copy_of(model)
    graph = Graph(changed)
    step(graph)
    graph.drop_unused()
    del changed.graph.value_info[:]
    assert np.array_equal(images(changed, name, tmp_path), images(model, name, tmp_path))
    assert (changed.graph.node != model.graph.node) == (name in STEPS[step])


def test_all_steps_together_keep_images_within_a_level_and_make_a_smaller_file(
    quantized: tuple[str, ModelProto], tmp_path: Path
) -> None:
    name, model = quantized
    tidied = copy_of(model)
    tidy(Graph(tidied))
    found, expected = (images(each, name, tmp_path).astype(int) for each in (tidied, model))
    assert np.abs(found - expected).mean() < 0.5  # of 255: scales are kept in half precision
    assert tidied.ByteSize() < model.ByteSize()
    counted = operators(tidied)
    assert not counted["Resize"]
    assert counted["DequantizeLinear"] < operators(model)["DequantizeLinear"]


def test_enlarged_pixels_are_copied_as_bytes_of_whole_pixels(quantized: tuple[str, ModelProto]) -> None:
    name, model = quantized
    changed = copy_of(model)
    graph = Graph(changed)
    copy_pixels(graph)
    move_bytes(graph)
    graph.drop_unused()
    before, after = operators(model), operators(changed)
    assert after["Tile"] == before["Tile"] + 2 * before["Resize"]
    assert not after["Resize"]
    for node in changed.graph.node:
        if node.op_type == "Tile" and "copied" in node.output[0]:
            source = graph.producer(node.input[0])
            assert source is not None and source.op_type == "Reshape", name


def test_blocks_do_not_ask_for_what_a_convolution_may_leave_out(
    quantized: tuple[str, ModelProto], tmp_path: Path
) -> None:
    """ONNX Conv: `kernel_shape` follows from the weights, and has no need to be said."""
    name, model = quantized
    unsaid = copy_of(model)
    for node in unsaid.graph.node:
        for attribute in [each for each in node.attribute if each.name == "kernel_shape"]:
            node.attribute.remove(attribute)
    changed = copy_of(unsaid)
    compute_blocks(Graph(changed))
    del changed.graph.value_info[:]
    assert np.array_equal(images(changed, name, tmp_path), images(unsaid, name, tmp_path))


def test_zero_points_that_are_not_zero_stay(quantized: tuple[str, ModelProto]) -> None:
    _, model = quantized
    changed = copy_of(model)
    [node, *_] = [
        each for each in changed.graph.node if each.op_type == "DequantizeLinear" and _is_weight(changed, each)
    ]
    [zeros] = [each for each in changed.graph.initializer if each.name == node.input[2]]
    zeros.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(zeros) + np.int8(1), zeros.name))
    leave_out_what_follows(Graph(changed))
    [kept] = [each for each in changed.graph.node if list(each.output) == list(node.output)]
    assert kept.input[2] == zeros.name


def _is_weight(model: ModelProto, node: onnx.NodeProto) -> bool:
    return any(
        each.name == node.input[0] and each.data_type == TensorProto.INT8 and len(each.dims) == 4
        for each in model.graph.initializer
    )

"""The last layer in blocks and on flat rows in fp32: the same image from faster steps, and the way back."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.unit.trainer.compress.generators import KINDS
from trainer.compress.blocks import compute_blocks, compute_pixels
from trainer.compress.flat_arithmetic import flatten_arithmetic
from trainer.compress.folding import fold
from trainer.compress.graph import Graph, attributes, copy_of
from trainer.export import GraphSession
from trainer.probes import PARITY_SEED, draw_probe

CONVOLUTIONS = ("upsampling", "resnet")


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_same_image_within_a_level_and_the_same_graph_when_undone(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    kind.export(tmp_path / "generator.onnx")
    model = onnx.load(tmp_path / "generator.onnx")
    fold(model)
    del model.graph.value_info[:]
    onnx.save(model, tmp_path / "folded.onnx")
    changed = copy_of(model)
    compute_blocks(Graph(changed))
    last = [node for node in changed.graph.node if node.op_type == "Conv"][-1]
    assert attributes(last)["strides"] == [2, 2]
    assert changed.ByteSize() < model.ByteSize() + 4096
    undone = copy_of(changed)
    compute_pixels(Graph(undone))
    flatten_arithmetic(Graph(changed))
    onnx.checker.check_model(changed)
    onnx.save(changed, tmp_path / "changed.onnx")
    onnx.save(undone, tmp_path / "undone.onnx")
    probe = draw_probe(PARITY_SEED, 24, kind.build().latent_dim, kind.spec.classes if kind.spec.classes > 1 else 0)
    expected, found, back = (
        GraphSession(tmp_path / f"{which}.onnx")(probe.latents, probe.labels).astype(int)
        for which in ("folded", "changed", "undone")
    )
    assert np.abs(found - expected).max() <= 1
    assert np.array_equal(back, expected)
    assert [node.op_type for node in undone.graph.node] == [node.op_type for node in model.graph.node]


def test_what_is_not_in_blocks_is_left_alone(tmp_path: Path) -> None:
    KINDS["dcgan"].export(tmp_path / "generator.onnx")
    model = onnx.load(tmp_path / "generator.onnx")
    changed = copy_of(model)
    compute_pixels(Graph(changed))
    assert changed.graph.node == model.graph.node

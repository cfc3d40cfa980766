"""Static int8 of every kind of generator: close to fp32, in 8-bit arithmetic, the same bits in any batch."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from tests.unit.trainer.compress.generators import KINDS
from trainer.compress.base import Architecture
from trainer.compress.graph import Graph, attributes
from trainer.compress.int8 import Int8Config
from trainer.compress.quantization import architecture_of, methods_for, quantize
from trainer.export import GraphSession
from trainer.parity import compare, is_reproducible
from trainer.probes import CALIBRATION_SEED, PARITY_SEED, Probe, draw_probe


def probes(name: str) -> tuple[Probe, Probe]:
    """For calibration, and for comparison."""
    kind = KINDS[name]
    generator, classes = kind.build(), kind.spec.classes if kind.spec.classes > 1 else 0
    first, second = (draw_probe(seed, 48, generator.latent_dim, classes) for seed in (CALIBRATION_SEED, PARITY_SEED))
    return first, second


@pytest.mark.parametrize("name", KINDS)
def test_images_are_close_and_the_same_in_any_batch(name: str, tmp_path: Path) -> None:
    fp32, int8 = tmp_path / "generator.onnx", tmp_path / "generator.int8.onnx"
    KINDS[name].export(fp32)
    calibration, probe = probes(name)
    notes = quantize(fp32, int8, calibration.inputs(), Int8Config(images=48, least_weights=500))
    layers = architecture_of(onnx.load(fp32)).transposed
    assert any(f"{layers} transposed" in note for note in notes) == bool(layers)
    reference, session = GraphSession(fp32), GraphSession(int8)
    parity = compare(session(probe.latents, probe.labels), reference(probe.latents, probe.labels), "fp32")
    assert parity.psnr_db is not None, "nothing was quantized"
    assert parity.psnr_db > 28
    assert is_reproducible(session, probe)


@pytest.mark.parametrize("name", ["dcgan", "dcgan with classes", "upsampling without classes"])
def test_pixels_are_moved_in_8_bits(name: str, tmp_path: Path) -> None:
    fp32, int8 = tmp_path / "generator.onnx", tmp_path / "generator.int8.onnx"
    KINDS[name].export(fp32)
    quantize(fp32, int8, probes(name)[0].inputs(), Int8Config(images=48))
    graph = Graph(onnx.load(int8))
    inferred = onnx.shape_inference.infer_shapes(graph.model).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in inferred}
    movers = [node for node in graph.nodes if node.op_type == "Slice" or len(attributes(node).get("perm", ())) == 5]
    assert movers
    assert {types[node.input[0]] for node in movers} == {TensorProto.UINT8}
    assert not [node for node in graph.nodes if node.op_type == "ConvTranspose"]


def test_small_dense_layers_stay_in_fp32(tmp_path: Path) -> None:
    fp32, int8 = tmp_path / "generator.onnx", tmp_path / "generator.int8.onnx"
    KINDS["lstm that shifts"].export(fp32)
    quantize(fp32, int8, probes("lstm that shifts")[0].inputs(), Int8Config(images=48, least_weights=500))
    graph = Graph(onnx.load(int8))
    weights = {node.input[1] for node in graph.nodes if node.op_type == "Gemm"}
    stored = {each.name: each.data_type for each in graph.model.graph.initializer}
    assert [name for name in weights if stored.get(name) == TensorProto.FLOAT], "places are computed in 8 bits"
    assert [name for name in weights if name not in stored], "nothing is"


def test_ranges_end_where_the_last_activation_is_saturated(tmp_path: Path) -> None:
    kind = KINDS["upsampling"]
    fp32, int8 = tmp_path / "generator.onnx", tmp_path / "generator.int8.onnx"
    kind.export(fp32)
    model = onnx.load(fp32)
    [weights] = [each for each in model.graph.initializer if each.name.endswith("to_image.weight")]
    values = onnx.numpy_helper.to_array(weights) * np.float32(20)
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, fp32)
    calibration, probe = probes("upsampling")
    quantize(fp32, int8, calibration.inputs(), Int8Config(images=48))
    graph = Graph(onnx.load(int8))
    [tanh] = [node for node in graph.nodes if node.op_type == "Tanh"]
    widening = graph.producer(tanh.input[0])
    assert widening is not None
    scale = graph.constant(widening.input[1])
    assert scale is not None
    assert float(scale) == pytest.approx(7 / 255, rel=1e-3)
    found, expected = (GraphSession(path)(probe.latents, probe.labels) for path in (int8, fp32))
    black_and_white = (expected == 0) | (expected == 255)
    assert black_and_white.mean() > 0.2
    assert np.abs(found.astype(int) - expected)[black_and_white].mean() < 1


def test_a_graph_without_layers_is_refused_and_others_are_not() -> None:
    config = Int8Config()
    lstm = Architecture(convolutions=0, transposed=0, recurrent=1, dense=0)
    assert "convolutions and dense layers" in (config.refusal(lstm) or "")
    assert methods_for(lstm) == ["int8-weights", "int8-dynamic", "fp16"]
    mlp = Architecture(convolutions=0, transposed=0, recurrent=0, dense=3)
    assert methods_for(mlp) == ["int8", "int8-weights", "fp16"]
    assert str(mlp) == "3 dense layers"

"""The one entry: which method takes which graph, and what is in the files that come out."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from pydantic import TypeAdapter, ValidationError

from tests.unit.trainer.compress.generators import KINDS
from trainer.compress.fp16 import Fp16Config
from trainer.compress.int8 import Int8Config
from trainer.compress.int8_dynamic import Int8DynamicConfig
from trainer.compress.int8_weights import Int8WeightsConfig
from trainer.compress.quantization import (
    METHODS,
    QuantizationConfig,
    architecture_of,
    check_supported,
    quantize,
    read_architecture,
)
from trainer.errors import ConfigError
from trainer.export import GraphSession, check_in_subprocess
from trainer.parity import compare, is_reproducible
from trainer.probes import CALIBRATION_SEED, PARITY_SEED, draw_probe

ALL = (Int8Config(images=32), Int8WeightsConfig(), Int8WeightsConfig(bits=4), Fp16Config(), Int8DynamicConfig())


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lstm") / "generator.onnx"
    KINDS["lstm"].export(path)
    return path


@pytest.mark.parametrize("config", ALL, ids=lambda config: f"{config.method}")
def test_every_method_takes_a_recurrent_generator(lstm: Path, tmp_path: Path, config: METHODS) -> None:
    target = tmp_path / "generator.small.onnx"
    dim = KINDS["lstm"].build().latent_dim
    inputs = draw_probe(CALIBRATION_SEED, config.calibration_images, dim, 0).inputs()
    quantize(lstm, target, inputs, config)
    check_in_subprocess([target])
    probe = draw_probe(PARITY_SEED, 16, dim, 0)
    session = GraphSession(target)
    parity = compare(session(probe.latents, probe.labels), GraphSession(lstm)(probe.latents, probe.labels), "fp32")
    assert parity.psnr_db is not None and parity.psnr_db > (15 if config == ALL[2] else 25)
    if config.reproducible:
        assert is_reproducible(session, probe)


def test_dynamic_int8_quantizes_the_lstm_itself(lstm: Path, tmp_path: Path) -> None:
    target = tmp_path / "generator.int8.onnx"
    [note] = quantize(lstm, target, {}, Int8DynamicConfig())
    assert "not reproducible" in note
    assert "DynamicQuantizeLSTM" in {node.op_type for node in onnx.load(target).graph.node}


def test_graphs_carry_no_traces_of_the_machine_that_made_them(lstm: Path, tmp_path: Path) -> None:
    for config in ALL:
        target = tmp_path / "generator.small.onnx"
        inputs = draw_probe(CALIBRATION_SEED, 8, KINDS["lstm"].build().latent_dim, 0).inputs()
        quantize(lstm, target, inputs, config)
        content = target.read_bytes()
        for trace in (b"/tmp", b"site-packages", b"torch.nn", b".py", b"Traceback", b'File "'):
            assert trace not in content, (config.method, trace)


def test_a_family_without_recurrence_is_told_what_it_can_have() -> None:
    architecture = architecture_of(onnx.load_model_from_string(_exported("dcgan")))
    with pytest.raises(ConfigError) as caught:
        check_supported(Int8DynamicConfig(), architecture, "dcgan@1, family dcgan,")
    assert str(caught.value) == (
        "--method int8-dynamic: it pays for recurrent layers alone, and the graph has none. dcgan@1, family dcgan, "
        "(3 transposed convolutions, 1 dense layer) takes int8, int8-weights, fp16"
    )


def _exported(name: str) -> bytes:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "generator.onnx"
        KINDS[name].export(path)
        return path.read_bytes()


def test_configs_are_told_apart_by_method_and_survive_the_manifest() -> None:
    reader: TypeAdapter[METHODS] = TypeAdapter(QuantizationConfig)
    for config in ALL:
        assert reader.validate_python(config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError, match="int2"):
        reader.validate_python({"method": "int2"})
    with pytest.raises(ValidationError, match="bits"):
        reader.validate_python({"method": "int8-weights", "bits": 3})


def test_the_architecture_is_read_from_the_file(lstm: Path) -> None:
    found = read_architecture(lstm)
    assert (found.recurrent, found.transposed) == (1, 0)
    assert found.convolutions == 2
    assert found.dense >= 3


def test_weights_alone_take_no_calibration(lstm: Path, tmp_path: Path) -> None:
    quantize(lstm, tmp_path / "small.onnx", {"latents": np.zeros((0, 1), np.float32)}, Int8WeightsConfig())
    types = {each.data_type for each in onnx.load(tmp_path / "small.onnx").graph.initializer}
    assert TensorProto.INT8 in types

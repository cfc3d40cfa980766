"""ONNX graphs: what is in them, and that they say what PyTorch says."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from runtime.latents import latents_from_seeds, row_seeds
from trainer.compress.int8 import Int8Config
from trainer.compress.quantization import quantize
from trainer.data import ImageSpec
from trainer.ema import with_statistics
from trainer.errors import ExportError
from trainer.export import ExportGraph, GraphSession, check_in_subprocess, export_fp32
from trainer.grids import to_uint8
from trainer.networks.base import Generator
from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig
from trainer.parity import compare

LATENTS = latents_from_seeds(row_seeds(0, 48), 6)
LABELS = np.arange(48, dtype=np.int64) % 10


def make_generator(spec: ImageSpec) -> Generator:
    """A generator with settled statistics whose classes differ."""
    torch.manual_seed(0)
    generator = UpsamplingGeneratorConfig(latent_dim=6, width=16, min_width=8).build(spec)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("scale", "shift")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
        generator.to_image.weight.mul_(4)
    return with_statistics(generator, classes=spec.classes, images=512)


@pytest.fixture(scope="module")
def graph() -> ExportGraph:
    """A conditional 8×8 grey generator."""
    return ExportGraph(make_generator(ImageSpec(8, 8, 1, 10)), conditional=True)


@pytest.fixture(scope="module")
def exported(graph: ExportGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of its graphs."""
    folder = tmp_path_factory.mktemp("exported")
    export_fp32(graph, folder / "generator.onnx")
    inputs: dict[str, NDArray[Any]] = {"latents": LATENTS, "label": LABELS}
    quantize(folder / "generator.onnx", folder / "generator.int8.onnx", inputs, Int8Config(images=48))
    return folder


def test_fp32_says_what_torch_says(graph: ExportGraph, exported: Path) -> None:
    with torch.no_grad():
        expected = graph(torch.from_numpy(LATENTS), torch.from_numpy(LABELS)).numpy()
    images = GraphSession(exported / "generator.onnx")(LATENTS, LABELS)
    assert images.dtype == np.uint8
    assert images.shape == (48, 8, 8, 1)
    assert images.std() > 20, "a flat image would agree with anything"
    assert compare(images, expected, "torch").max_abs <= 1
    assert compare(images, expected, "torch").mean_abs < 0.01


@pytest.mark.parametrize("precision", ["generator.onnx", "generator.int8.onnx"])
def test_an_image_depends_on_its_row_alone(exported: Path, precision: str) -> None:
    session = GraphSession(exported / precision)
    together = session(LATENTS, LABELS)
    for batch in (1, 5, 32):
        assert np.array_equal(session(LATENTS, LABELS, batch=batch), together), batch
    shuffled = np.random.default_rng(0).permutation(48)
    assert np.array_equal(session(LATENTS[shuffled], LABELS[shuffled]), together[shuffled])


def test_int8_is_close_to_fp32_and_smaller_arithmetic(exported: Path) -> None:
    fp32, int8 = (GraphSession(exported / file)(LATENTS, LABELS) for file in ("generator.onnx", "generator.int8.onnx"))
    parity = compare(int8, fp32, "fp32")
    assert parity.psnr_db is not None and parity.psnr_db > 30
    assert parity.max_abs > 0, "not quantized at all"
    types = {initializer.data_type for initializer in onnx.load(exported / "generator.int8.onnx").graph.initializer}
    assert {onnx.TensorProto.INT8, onnx.TensorProto.UINT8} <= types


def test_graphs_carry_no_traces_of_the_machine_that_made_them(exported: Path) -> None:
    for path in exported.iterdir():
        content = path.read_bytes()
        for trace in (b"/work", b"site-packages", b"pkg.torch", b"torch.nn", b".py"):
            assert trace not in content, (path.name, trace)
    model = onnx.load(exported / "generator.onnx")
    assert not model.metadata_props and not model.graph.value_info
    assert not any(node.metadata_props for node in model.graph.node)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [20]


def test_inputs_and_output_are_the_documented_ones(exported: Path) -> None:
    graph = onnx.load(exported / "generator.onnx").graph
    kinds = {value.name: value.type.tensor_type for value in (*graph.input, *graph.output)}
    assert list(kinds) == ["latents", "label", "images"]
    assert kinds["latents"].elem_type == onnx.TensorProto.FLOAT
    assert kinds["label"].elem_type == onnx.TensorProto.INT64
    assert kinds["images"].elem_type == onnx.TensorProto.UINT8
    assert all(kind.shape.dim[0].dim_param for kind in kinds.values())


@pytest.mark.parametrize("spec", [ImageSpec(9, 20, 3, 3), ImageSpec(32, 32, 3, 1)], ids=str)
def test_other_sizes_and_unlabelled_generators(spec: ImageSpec, tmp_path: Path) -> None:
    graph = ExportGraph(make_generator(spec), conditional=spec.classes > 1)
    path = tmp_path / "generator.onnx"
    export_fp32(graph, path)
    labels = LABELS % spec.classes
    with torch.no_grad():
        expected = graph(torch.from_numpy(LATENTS), torch.from_numpy(labels)).numpy()
    images = GraphSession(path)(LATENTS, labels)
    assert images.shape == (48, spec.height, spec.width, 3)
    assert compare(images, expected, "torch").max_abs <= 1
    inputs = [value.name for value in onnx.load(path).graph.input]
    assert inputs == (["latents", "label"] if spec.classes > 1 else ["latents"])
    check_in_subprocess([path])


def test_graphs_that_run_pass_the_check(exported: Path) -> None:
    check_in_subprocess(sorted(exported.iterdir()))


def test_graphs_that_do_not_load_or_end_otherwise_are_refused(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes((exported / "generator.onnx").read_bytes()[:-500])
    with pytest.raises(ExportError, match=r"broken.onnx: does not run in onnxruntime: .*Protobuf"):
        check_in_subprocess([exported / "generator.onnx", broken])
    model = onnx.load(exported / "generator.onnx")
    model.graph.input[0].name = "noise"
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "latents":
                node.input[index] = "noise"
    renamed = tmp_path / "renamed.onnx"
    onnx.save(model, renamed)
    with pytest.raises(ExportError, match=r"inputs are \['label', 'noise'\], wanted are latents"):
        check_in_subprocess([renamed])


def test_a_graph_that_ends_the_process_is_an_error_and_no_more(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(crashing))
    with pytest.raises(ExportError, match=r"generator.onnx: ends the process that runs it in onnxruntime, by SIGSEGV"):
        check_in_subprocess([exported / "generator.onnx"])


def test_levels_are_rounded_and_clipped() -> None:
    images = torch.tensor([-1.0, 1.0, 0.0, -3.0, 3.0, -0.99]).reshape(1, 1, 1, 6)
    assert to_uint8(images).flatten().tolist() == [0, 255, 128, 0, 255, 1]
    assert to_uint8(torch.zeros(2, 3, 4, 5)).shape == (2, 4, 5, 3)


def test_parity_of_known_differences() -> None:
    reference = np.full((2, 2, 2, 1), 100, np.uint8)
    images = reference.copy()
    images[0, 0, 0, 0] = 90
    images[1, 0, 0, 0] = 110
    parity = compare(images, reference, "fp32")
    assert (parity.max_abs, parity.images) == (10, 2)
    assert parity.mean_abs == pytest.approx(2.5)
    assert parity.psnr_db == pytest.approx(10 * np.log10(255**2 / 25), abs=1e-9)
    assert compare(reference, reference, "fp32").psnr_db is None

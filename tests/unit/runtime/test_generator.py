"""One precision of a package: what runs, and what the self-test keeps from running."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtime.errors import PackageCorrupt, PackageUnsupported
from runtime.generator import Generator
from runtime.latents import labels_from_seeds, latents_from_seeds
from runtime.manifest import Precision
from runtime.package import Package, open_package
from runtime.providers import CPU
from runtime.store import DirectoryStore
from tests.kit.tiny_package import EXPECTED_FILE, edit_manifest, flip_byte, publish_tiny, reseal, write_expected

SEEDS = np.arange(100, 164, dtype=np.uint64)
BOTH: list[Precision] = ["fp32", "int8"]


@pytest.fixture
def package(tiny_store: DirectoryStore) -> Package:
    return tiny_store.open("tiny", 1)


def tampered(package: Package) -> Package:
    """The package once more, with hashes that match whatever its files hold now."""
    reseal(package.path)
    return open_package(package.path)


def recorded(package: Package) -> dict[str, Any]:
    with np.load(package.path / EXPECTED_FILE) as file:
        return dict(file)


def edit_graph(package: Package, edit: Callable[[onnx.ModelProto], object]) -> None:
    path = package.path / "generator.onnx"
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)


@pytest.mark.parametrize("precision", BOTH)
def test_images_are_as_the_manifest_says(package: Package, precision: Precision) -> None:
    generator = Generator(package, precision, providers=[CPU])
    images = generator.sample(SEEDS)
    assert (images.dtype, images.shape) == (np.dtype(np.uint8), (64, *package.manifest.output.shape))
    assert (generator.provider, generator.precision, generator.conditional) == (CPU, precision, True)


@pytest.mark.parametrize("precision", BOTH)
def test_a_row_is_the_same_image_in_every_batch_at_every_place(package: Package, precision: Precision) -> None:
    generator = Generator(package, precision, providers=[CPU])
    whole = generator.sample(SEEDS)
    for size in (1, 3, 17):
        parts = [generator.sample(SEEDS[start : start + size]) for start in range(0, len(SEEDS), size)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(generator.sample(SEEDS[::-1])[::-1], whole)


def test_threads_share_one_session(package: Package) -> None:
    generator = Generator(package, "fp32")
    whole = generator.sample(SEEDS)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda row: generator.sample(SEEDS[row : row + 1])[0], range(len(SEEDS))))
    assert np.array_equal(np.stack(rows), whole)


def test_seeds_labels_and_weights_each_change_the_image(tiny_store: DirectoryStore, package: Package) -> None:
    generator = Generator(package, "fp32")
    zeros, ones = np.zeros(64, np.int64), np.ones(64, np.int64)
    images = generator.sample(SEEDS, zeros)
    assert len({image.tobytes() for image in images}) == len(SEEDS)
    assert not np.array_equal(images, generator.sample(SEEDS, ones))
    other = Generator(publish_tiny(tiny_store, variant=1), "fp32")
    assert not np.array_equal(images, other.sample(SEEDS, zeros))


def test_without_labels_each_row_takes_its_own_from_its_seed(package: Package) -> None:
    generator = Generator(package, "fp32")
    assert np.array_equal(generator.sample(SEEDS), generator.sample(SEEDS, labels_from_seeds(SEEDS, 10)))


def test_truncation_scales_the_latent(package: Package) -> None:
    generator = Generator(package, "fp32")
    labels = labels_from_seeds(SEEDS, 10)
    scaled = latents_from_seeds(SEEDS, 16) * np.float32(0.7)
    assert np.array_equal(generator.sample(SEEDS, labels, truncation=0.7), generator.run(scaled, labels))
    assert not np.array_equal(generator.sample(SEEDS, labels), generator.run(scaled, labels))


def test_int8_is_another_graph_close_to_fp32(package: Package) -> None:
    fp32, int8 = (Generator(package, precision).sample(SEEDS) for precision in BOTH)
    assert not np.array_equal(fp32, int8)
    assert np.abs(fp32.astype(np.int16) - int8).mean() < 8


def test_an_unconditional_model_takes_no_labels(store: DirectoryStore) -> None:
    generator = Generator(publish_tiny(store, classes=()), "fp32")
    assert not generator.conditional
    assert generator.sample(SEEDS).shape == (64, 8, 8, 1)


def test_a_conditional_model_cannot_run_without_labels(package: Package) -> None:
    with pytest.raises(ValueError, match="tiny@1 is conditional: labels are needed"):
        Generator(package, "fp32").run(latents_from_seeds(SEEDS, 16))


def test_colour_images_of_another_size(store: DirectoryStore) -> None:
    package = publish_tiny(store, channels=3, size=12, latent_dim=7, classes=["cat", "dog"])
    assert Generator(package, "int8").sample(SEEDS).shape == (64, 12, 12, 3)


def test_a_precision_that_the_package_lacks_is_refused(store: DirectoryStore) -> None:
    package = publish_tiny(store, precisions=["fp32"])
    with pytest.raises(PackageUnsupported, match="tiny@1: has no int8, only fp32"):
        Generator(package, "int8")


def test_a_graph_that_changed_since_the_package_was_opened_is_refused(package: Package) -> None:
    flip_byte(package.path / "generator.onnx", 200)
    with pytest.raises(PackageCorrupt, match=r"generator\.onnx has SHA-256"):
        Generator(package, "fp32")


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x0a"], ids=["empty", "text", "no graph inside"])
def test_a_file_that_is_no_onnx_is_refused(package: Package, content: bytes) -> None:
    (package.path / "generator.onnx").write_bytes(content)
    with pytest.raises(PackageCorrupt, match="onnxruntime refuses fp32"):
        Generator(tampered(package), "fp32")


def test_wrong_outputs_are_caught(package: Package) -> None:
    arrays = recorded(package)
    arrays["images_fp32"] = 255 - arrays["images_fp32"]
    write_expected(package.path, **arrays)
    with pytest.raises(PackageCorrupt, match=r"fp32 differs from expected\.npz by .* levels on average, allowed are 1"):
        Generator(tampered(package), "fp32")
    Generator(tampered(package), "int8")


def test_the_weights_of_another_version_are_caught(tiny_store: DirectoryStore, package: Package) -> None:
    other = publish_tiny(tiny_store, variant=1)
    (package.path / "generator.onnx").write_bytes((other.path / "generator.onnx").read_bytes())
    with pytest.raises(PackageCorrupt, match=r"fp32 differs from expected\.npz"):
        Generator(tampered(package), "fp32")


@pytest.mark.parametrize(("tolerance", "accepted"), [(2.0, True), (1.9, False)])
def test_the_tolerance_is_a_mean_over_all_pixels(package: Package, tolerance: float, accepted: bool) -> None:
    arrays = recorded(package)
    images = arrays["images_fp32"].astype(np.int16)
    arrays["images_fp32"] = np.where(images >= 128, images - 2, images + 2).astype(np.uint8)
    write_expected(package.path, **arrays)
    edit_manifest(package.path, lambda m: m["self_test"]["tolerance"].update(fp32=tolerance))
    if accepted:
        Generator(tampered(package), "fp32")
    else:
        with pytest.raises(PackageCorrupt, match=r"by 2\.00 levels on average, allowed are 1\.9"):
            Generator(tampered(package), "fp32")


def test_images_of_another_size_than_the_manifest_says_are_caught(package: Package) -> None:
    edit_manifest(package.path, lambda m: m["output"].update(height=9))
    with pytest.raises(PackageCorrupt, match=r"yields shape \(8, 8, 8, 1\).*the manifest says \(9, 8, 1\) per image"):
        Generator(tampered(package), "fp32")


def test_outputs_that_are_not_uint8_are_caught(package: Package) -> None:
    def to_float(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = "levels_of_bytes"
        model.graph.node.append(helper.make_node("Cast", ["levels_of_bytes"], ["images"], to=TensorProto.FLOAT))
        model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT

    edit_graph(package, to_float)
    with pytest.raises(PackageCorrupt, match="fp32 yields float32, not uint8"):
        Generator(tampered(package), "fp32")


def test_a_graph_without_the_named_output_is_caught(package: Package) -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = model.graph.output[0].name = "pictures"

    edit_graph(package, rename)
    with pytest.raises(PackageCorrupt, match=r"fp32 fails its self-test: .*images"):
        Generator(tampered(package), "fp32")


def test_a_graph_that_wants_another_latent_is_caught(package: Package) -> None:
    edit_manifest(package.path, lambda m: m["latent"].update(dim=17))
    with pytest.raises(PackageCorrupt, match="fp32 fails its self-test"):
        Generator(tampered(package), "fp32")


def test_a_graph_whose_rows_depend_on_their_batch_is_caught_where_it_claims_not_to(package: Package) -> None:
    def mix_rows(model: onnx.ModelProto) -> None:
        graph = model.graph
        conv = next(node for node in graph.node if node.op_type == "Conv")
        axes = helper.make_tensor("batch_axis", TensorProto.INT64, [1], [0])
        graph.initializer.append(axes)
        column = conv.input[0]
        mean = helper.make_node("ReduceMean", [column, "batch_axis"], ["batch_mean"])
        mixed = helper.make_node("Sub", [column, "batch_mean"], ["mixed"])
        conv.input[0] = "mixed"
        place = list(graph.node).index(conv)
        graph.node.insert(place, mixed)
        graph.node.insert(place, mean)

    edit_graph(package, mix_rows)
    graph = onnx.load(package.path / "generator.onnx").SerializeToString()
    arrays = recorded(package)
    arrays["images_fp32"] = run_graph(graph, arrays["seeds"], arrays["labels"])
    write_expected(package.path, **arrays)
    with pytest.raises(PackageCorrupt, match="fp32 is marked reproducible, but its images change with the batch size"):
        Generator(tampered(package), "fp32", providers=[CPU])
    edit_manifest(package.path, lambda m: m["precisions"]["fp32"].update(reproducible=False))
    Generator(tampered(package), "fp32", providers=[CPU])


def run_graph(graph: bytes, seeds: Any, labels: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=[CPU])
    return session.run(["images"], {"latents": latents_from_seeds(seeds, 16), "label": labels})[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 cut off", b"\x93NUMPY\x01\x00", b"text"],
    ids=["empty", "damaged archive", "damaged array", "text"],
)
def test_a_recording_that_cannot_be_read_is_refused(package: Package, content: bytes) -> None:
    (package.path / EXPECTED_FILE).write_bytes(content)
    with pytest.raises(PackageCorrupt, match=r"expected\.npz cannot be read"):
        Generator(tampered(package), "fp32")


def test_a_recording_in_another_format_is_refused(package: Package) -> None:
    np.save(package.path / "array.npy", np.zeros(3))
    (package.path / "array.npy").rename(package.path / EXPECTED_FILE)
    with pytest.raises(PackageCorrupt, match=r"expected\.npz cannot be read"):
        Generator(tampered(package), "fp32")


@pytest.mark.parametrize("missing", ["seeds", "labels", "images_fp32"])
def test_a_recording_without_one_of_its_arrays_is_refused(package: Package, missing: str) -> None:
    arrays = recorded(package)
    del arrays[missing]
    write_expected(package.path, **arrays)
    with pytest.raises(PackageCorrupt, match=rf"expected\.npz cannot be read: .*{missing}"):
        Generator(tampered(package), "fp32")


def test_a_pickle_in_the_recording_is_never_loaded(package: Package, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "exploded",)

    arrays = recorded(package)
    arrays["seeds"] = np.array([Bomb()], dtype=object)
    with (package.path / EXPECTED_FILE).open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(PackageCorrupt, match=r"expected\.npz cannot be read: Object arrays cannot be loaded"):
        Generator(tampered(package), "fp32")
    assert not (tmp_path / "exploded").exists()


def test_a_recording_that_changed_since_the_package_was_opened_is_refused(package: Package) -> None:
    flip_byte(package.path / EXPECTED_FILE)
    with pytest.raises(PackageCorrupt, match=r"^package tiny@1: expected\.npz has SHA-256"):
        Generator(package, "fp32")


def test_a_recording_that_proves_nothing_is_refused(package: Package) -> None:
    arrays = recorded(package)
    for images in (arrays["images_fp32"][:0], arrays["images_fp32"].astype(str), np.array(3.0)):
        write_expected(package.path, **{**arrays, "images_fp32": images})
        with pytest.raises(PackageCorrupt, match=r"expected\.npz holds no uint8 images_fp32"):
            Generator(tampered(package), "fp32")


def test_a_provider_that_does_not_come_is_reported(package: Package, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.warns(UserWarning, match="not in available provider names"):
        generator = Generator(package, "fp32", providers=["TensorrtExecutionProvider", CPU])
    assert generator.provider == CPU
    assert "asked for TensorrtExecutionProvider, runs on CPUExecutionProvider" in caplog.text

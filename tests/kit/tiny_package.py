"""A generator small enough to be built in a test, packaged like a real one.

The graph is made of convolutions, which onnxruntime computes image by image: its images are the same bits
whatever the batch. Its weights are random numbers fixed by `variant`, so no training and no torch is needed.
"""

import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from runtime.latents import labels_from_seeds, latents_from_seeds
from runtime.manifest import (
    MANIFEST_FILE,
    DataSource,
    EncoderFile,
    Latent,
    Manifest,
    Output,
    Parity,
    Precision,
    PrecisionFile,
    Provenance,
    SelfTest,
    StoredFile,
)
from runtime.package import Package, describe_file
from runtime.store import DirectoryStore

DIGITS = tuple("0123456789")
GRAPH_FILES: dict[Precision, str] = {"fp32": "generator.onnx", "int8": "generator.int8.onnx"}
ENCODER_FILE = "encoder.onnx"
EXPECTED_FILE = "expected.npz"

_SELF_TEST_ROWS = 8
_WORK_CHANNELS = 128


def publish_tiny(
    store: DirectoryStore,
    name: str = "tiny",
    *,
    classes: Sequence[str] = DIGITS,
    size: int = 8,
    channels: int = 1,
    frames: int = 1,
    encoder: bool = False,
    latent_dim: int = 16,
    variant: int = 0,
    delay: int = 0,
    precisions: Sequence[Precision] = ("fp32", "int8"),
) -> Package:
    """Build a generator of `size` × `size` × `channels` images and publish it as the next version of `name`.

    Args:
        classes: class names; empty makes an unconditional model.
        frames: above 1 makes a model of sequences.
        encoder: add a graph that finds latents: a random projection of the pixels.
        variant: other weights, hence other images.
        delay: extra 3×3 convolutions of 128 channels; each costs about 0.08 ms per 8×8 image on one core.
        precisions: `fp32`, and `int8` by static quantization.
    """
    with store.stage() as staged:
        describe = write_tiny(
            staged,
            name,
            classes=classes,
            size=size,
            channels=channels,
            frames=frames,
            encoder=encoder,
            latent_dim=latent_dim,
            variant=variant,
            delay=delay,
            precisions=precisions,
        )
        return store.publish(name, staged, describe)


def publish_tunable(store: DirectoryStore, name: str = "tiny") -> Package:
    """`publish_tiny` with a checkpoint, as fine-tuning asks for one: jobs are accepted, and fail when they run."""
    with store.stage() as staged:
        describe = write_tiny(staged, name, precisions=("fp32",))
        (staged / "checkpoint.pt").write_bytes(b"weights")
        extra = {"checkpoint.pt": describe_file(staged / "checkpoint.pt")}

        def with_checkpoint(version: int) -> Manifest:
            manifest = describe(version)
            return manifest.model_copy(update={"files": {**manifest.files, **extra}})

        return store.publish(name, staged, with_checkpoint)


def write_tiny(
    folder: Path,
    name: str = "tiny",
    *,
    classes: Sequence[str] = DIGITS,
    size: int = 8,
    channels: int = 1,
    frames: int = 1,
    encoder: bool = False,
    latent_dim: int = 16,
    variant: int = 0,
    delay: int = 0,
    precisions: Sequence[Precision] = ("fp32", "int8"),
) -> Callable[[int], Manifest]:
    """Write the files of `publish_tiny`'s package; returns what describes them under a version number."""
    seeds = np.arange(_SELF_TEST_ROWS, dtype=np.uint64)
    labels = labels_from_seeds(seeds, len(classes)) if classes else None
    graph = _graph(
        classes=len(classes),
        size=size,
        channels=channels,
        frames=frames,
        latent_dim=latent_dim,
        variant=variant,
        delay=delay,
    )
    images: dict[Precision, NDArray[np.uint8]] = {}
    for precision in precisions:
        content = graph if precision == "fp32" else _quantized(graph, latent_dim, len(classes))
        (folder / GRAPH_FILES[precision]).write_bytes(content)
        images[precision] = _run(content, latents_from_seeds(seeds, latent_dim), labels)
    recorded: dict[str, NDArray[Any]] = {f"images_{precision}": found for precision, found in images.items()}
    if encoder:
        content = _encoder_graph(shape=images["fp32"].shape[1:], latent_dim=latent_dim, variant=variant)
        (folder / ENCODER_FILE).write_bytes(content)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        recorded["encoder_latents"] = session.run(["latents"], {"images": images["fp32"]})[0]
    if labels is not None:
        recorded["labels"] = labels
    write_expected(folder, seeds=seeds, **recorded)
    reference = images.get("fp32", images[precisions[0]])

    def describe(version: int) -> Manifest:
        return Manifest(
            name=name,
            version=version,
            created=datetime.now(UTC),
            family="tiny",
            latent=Latent(dim=latent_dim),
            classes=list(classes),
            output=Output(height=size, width=size, channels=3 if channels == 3 else 1, frames=frames),
            precisions={
                precision: PrecisionFile(
                    file=GRAPH_FILES[precision],
                    parity=_parity(reference, found),
                    **describe_file(folder / GRAPH_FILES[precision]).model_dump(),
                )
                for precision, found in images.items()
            },
            encoder=EncoderFile(file=ENCODER_FILE, **describe_file(folder / ENCODER_FILE).model_dump())
            if encoder
            else None,
            files={EXPECTED_FILE: describe_file(folder / EXPECTED_FILE)},
            self_test=SelfTest(file=EXPECTED_FILE, tolerance=dict.fromkeys(precisions, 1.0)),
            provenance=Provenance(
                data=DataSource(source="random weights", fingerprint="0" * 64, images=1),
                recipe="tiny",
                config={"variant": variant, "delay": delay},
                seed=variant,
                trained_images=0,
                training_seconds=0.0,
                code_version="test",
            ),
            licence="Apache-2.0",
            intended_use="tests",
        )

    return describe


def write_expected(folder: Path, **arrays: NDArray[Any]) -> None:
    """Write the recorded outputs of a self-test."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    (folder / EXPECTED_FILE).write_bytes(file.getvalue())


def edit_manifest(package_dir: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a published manifest in place, past every check: `edit` gets its JSON object."""
    path = package_dir / MANIFEST_FILE
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def reseal(package_dir: Path) -> None:
    """Record the hashes and sizes that the files have now, as one would who tampers with care."""

    def edit(data: dict[str, Any]) -> None:
        named: dict[str, dict[str, Any]] = {**data["files"]}
        named.update({entry["file"]: entry for entry in data["precisions"].values()})
        if data["encoder"]:
            named[data["encoder"]["file"]] = data["encoder"]
        for name, entry in named.items():
            found: StoredFile = describe_file(package_dir / name)
            entry.update(found.model_dump())

    edit_manifest(package_dir, edit)


def flip_byte(path: Path, offset: int = -1) -> None:
    """Invert the bits of one byte of a file; by default its last."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


@cache
def _graph(*, classes: int, size: int, channels: int, frames: int, latent_dim: int, variant: int, delay: int) -> bytes:
    """The fp32 graph: latent + class embedding → 1×1 conv → pixels → `delay` more convs → uint8 NHWC.

    The frames of a sequence are channels until the end, where they make an axis of their own: NTHWC.
    """
    weights = _Weights(np.random.default_rng([variant, classes, size, channels, latent_dim]))
    nodes, inputs = [], [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", latent_dim])]
    code = "latents"
    if classes:
        inputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]))
        nodes += [
            helper.make_node("Gather", [weights.normal("embedding", classes, latent_dim), "label"], ["of_class"]),
            helper.make_node("Add", ["latents", "of_class"], ["code"]),
        ]
        code = "code"
    depth = frames * channels
    area = depth * size * size
    planes = weights.shape("planes_shape", 0, depth, size, size)
    projection = weights.normal("projection", area, latent_dim, 1, 1, fan_in=2 * latent_dim)
    nodes += [
        helper.make_node("Reshape", [code, weights.shape("code_shape", 0, latent_dim, 1, 1)], ["column"]),
        helper.make_node("Conv", ["column", projection], ["projected"]),
        helper.make_node("Reshape", ["projected", planes], ["pixels"]),
    ]
    pixels = "pixels"
    if delay:
        nodes += _busy_work(weights, depth, delay)
        pixels = "worked"
    nodes += [
        helper.make_node("Tanh", [pixels], ["bounded"]),
        helper.make_node("Mul", ["bounded", weights.scalar("half_range", 127.5)], ["scaled"]),
        helper.make_node("Add", ["scaled", "half_range"], ["levels"]),
        helper.make_node("Round", ["levels"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["bytes"], to=TensorProto.UINT8),
    ]
    shape: list[str | int] = ["batch", size, size, channels]
    if frames == 1:
        nodes.append(helper.make_node("Transpose", ["bytes"], ["images"], perm=[0, 2, 3, 1]))
    else:
        apart = weights.shape("frames_shape", 0, frames, channels, size, size)
        nodes += [
            helper.make_node("Reshape", ["bytes", apart], ["frames"]),
            helper.make_node("Transpose", ["frames"], ["images"], perm=[0, 1, 3, 4, 2]),
        ]
        shape.insert(1, frames)
    outputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, shape)]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, weights.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@cache
def _encoder_graph(*, shape: tuple[int, ...], latent_dim: int, variant: int) -> bytes:
    """Pixels 0 … 255 → a random projection of unit variance."""
    weights = _Weights(np.random.default_rng([variant, *shape, latent_dim]))
    pixels = int(np.prod(shape))
    nodes = [
        helper.make_node("Cast", ["images"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["levels", weights.shape("flat", 0, pixels)], ["row"]),
        helper.make_node(
            "MatMul", ["row", weights.normal("project", pixels, latent_dim, fan_in=pixels * 127**2)], ["latents"]
        ),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", *shape])]
    outputs = [helper.make_tensor_value_info("latents", TensorProto.FLOAT, ["batch", latent_dim])]
    graph = helper.make_graph(nodes, "tiny-encoder", inputs, outputs, weights.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _busy_work(weights: "_Weights", channels: int, layers: int) -> list[onnx.NodeProto]:
    """`layers` convolutions beside the image, added to it at the end."""
    wide = _WORK_CHANNELS
    nodes = [helper.make_node("Conv", ["pixels", weights.normal("widen", wide, channels, 1, 1)], ["work_0"])]
    kernel = weights.normal("work_kernel", wide, wide, 3, 3, fan_in=wide * 9)
    for layer in range(layers):
        nodes += [
            helper.make_node("Conv", [f"work_{layer}", kernel], [f"conv_{layer}"], pads=[1, 1, 1, 1]),
            helper.make_node("Tanh", [f"conv_{layer}"], [f"work_{layer + 1}"]),
        ]
    narrow = weights.normal("narrow", channels, wide, 1, 1, fan_in=wide)
    return [
        *nodes,
        helper.make_node("Conv", [f"work_{layers}", narrow], ["work_done"]),
        helper.make_node("Add", ["pixels", "work_done"], ["worked"]),
    ]


class _Weights:
    """Initializers under construction; each method returns the name of the tensor it adds."""

    def __init__(self, random: np.random.Generator) -> None:
        self.tensors: list[TensorProto] = []
        self._random = random

    def normal(self, name: str, *shape: int, fan_in: int = 1) -> str:
        values = self._random.standard_normal(shape) / np.sqrt(fan_in)
        return self._add(name, values.astype(np.float32))

    def shape(self, name: str, *shape: int) -> str:
        return self._add(name, np.array(shape, dtype=np.int64))

    def scalar(self, name: str, value: float) -> str:
        return self._add(name, np.array(value, dtype=np.float32))

    def _add(self, name: str, values: NDArray[Any]) -> str:
        self.tensors.append(numpy_helper.from_array(values, name))
        return name


@cache
def _quantized(graph: bytes, latent_dim: int, classes: int) -> bytes:
    """Static int8 of `graph`'s convolutions: unsigned activations, signed weights per channel."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            seeds = range(1000, 1064)
            feed: dict[str, NDArray[Any]] = {"latents": latents_from_seeds(seeds, latent_dim)}
            if classes:
                feed["label"] = labels_from_seeds(seeds, classes)
            self._feeds: Iterator[dict[str, NDArray[Any]]] = iter([feed])

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._feeds, None)

    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # advice about pre-processing that this graph does not need
    try:
        with TemporaryDirectory() as folder:
            quantization.quantize_static(
                onnx.load_model_from_string(graph),
                Path(folder) / "int8.onnx",
                Reader(),
                op_types_to_quantize=["Conv"],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
            return (Path(folder) / "int8.onnx").read_bytes()
    finally:
        root.setLevel(level)


def _run(graph: bytes, latents: NDArray[np.float32], labels: NDArray[np.int64] | None) -> NDArray[np.uint8]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    feed: dict[str, NDArray[Any]] = {"latents": latents}
    if labels is not None:
        feed["label"] = labels
    images: NDArray[np.uint8] = session.run(["images"], feed)[0]
    return images


def _parity(reference: NDArray[np.uint8], found: NDArray[np.uint8]) -> Parity:
    difference = np.abs(reference.astype(np.int16) - found)
    mean_square = float((difference.astype(np.float64) ** 2).mean())
    return Parity(
        against="fp32",
        images=len(found),
        max_abs=int(difference.max()),
        mean_abs=float(difference.mean()),
        psnr_db=10 * float(np.log10(255**2 / mean_square)) if mean_square else None,
    )

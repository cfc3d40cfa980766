"""A trained generator as ONNX graphs that end in 8-bit images, and its encoder as one that begins with them."""

import contextlib
import io
import logging
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn

from runtime.generator import session_options
from runtime.manifest import Precision
from trainer.compress.int8 import Int8Config
from trainer.config import Config
from trainer.errors import ExportError
from trainer.grids import to_uint8
from trainer.networks.base import Encoder, Generator, Posterior
from trainer.stripping import strip

OPSET = 20
ENCODER_FILE = "encoder.onnx"
_CHECK_SECONDS = 300


class ExportConfig(Config):
    """What the package holds."""

    precisions: tuple[Literal["fp32", "fp16", "int8"], ...] = ("fp32", "int8")
    """Graphs to write; fp32, the reference of the others, is always among them."""

    int8: Int8Config = Int8Config()
    """How 8-bit weights and activations are chosen."""

    parity_images: int = Field(default=512, ge=8, le=65_536)
    """Fresh latents on which each graph is compared with its reference."""

    min_psnr_db: float = Field(default=20.0, ge=0)
    """Least signal-to-noise ratio of fp16 and int8 against fp32; below it one is left out."""

    @model_validator(mode="after")
    def _with_reference(self) -> "ExportConfig":
        if "fp32" not in self.precisions:
            raise ValueError(f"precisions: fp32 is missing from {self.precisions}, it is the reference of the others")
        return self


class ExportGraph(nn.Module):
    """A generator with the last step to uint8 NHWC inside, and without labels where it has no classes."""

    def __init__(self, generator: Generator, *, conditional: bool) -> None:
        super().__init__()
        self.generator = generator
        self.conditional = conditional

    def forward(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """float32 ``[n, dim]`` and int64 ``[n]`` to uint8 ``[n, H, W, C]``."""
        if label is None:
            label = torch.zeros_like(latents[:, 0], dtype=torch.int64)
        return to_uint8(self.generator(latents, label))


class EncoderGraph(nn.Module):
    """An encoder that begins with 8-bit images and ends in the mean of their latents."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """uint8 ``[n, H, W, C]`` or ``[n, T, H, W, C]`` to float32 ``[n, dim]``."""
        posterior: Posterior = self.encoder((images.float() / 127.5 - 1).movedim(-1, -3))
        return posterior[0]


def export_fp32(graph: ExportGraph, path: Path) -> None:
    """Write `graph` to `path`: inputs `latents` and `label`, output `images`, any batch size."""
    dim = graph.generator.latent_dim
    inputs: dict[str, Tensor] = {"latents": torch.zeros(2, dim)}  # a batch of 1 would be taken for a constant
    if graph.conditional:
        inputs["label"] = torch.zeros(2, dtype=torch.int64)
    _export(graph, inputs, "images", path)


def export_encoder(graph: EncoderGraph, shape: tuple[int, ...], path: Path) -> None:
    """Write `graph` to `path`: input `images` uint8 ``[n, *shape]``, output `latents`, any batch size."""
    _export(graph, {"images": torch.zeros(2, *shape, dtype=torch.uint8)}, "latents", path)


def _export(graph: nn.Module, inputs: dict[str, Tensor], output: str, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.cpu().eval(),
            kwargs=inputs,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes={name: {0: "batch"} for name in inputs},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
    assert program is not None
    model = program.model_proto
    strip(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def check_in_subprocess(paths: list[Path]) -> None:
    """Load and run every graph in another process.

    Raises:
        ExportError: it refused a graph or crashed.
    """
    names = ", ".join(path.name for path in paths)
    command = [sys.executable, "-m", "trainer.check_graph", *map(str, paths)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_CHECK_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{names}: does not end in onnxruntime within {_CHECK_SECONDS} s") from error
    if result.returncode < 0:
        name = signal.Signals(-result.returncode).name
        raise ExportError(f"{names}: ends the process that runs it in onnxruntime, by {name}")
    if result.returncode:
        reason = result.stderr.strip().rpartition("\n")[2] or f"exit status {result.returncode}"
        raise ExportError(f"{names}: does not run in onnxruntime: {reason}")


class GraphSession:
    """An exported graph on the CPU, with the same session options as the server."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
        self._conditional = any(entry.name == "label" for entry in self._session.get_inputs())

    def __call__(self, latents: NDArray[np.float32], labels: NDArray[np.int64], batch: int = 100) -> NDArray[np.uint8]:
        """Images uint8 ``[n, H, W, C]``; labels are passed over where the model has no classes."""
        pieces = []
        for start in range(0, len(latents), batch):
            inputs: dict[str, NDArray[Any]] = {"latents": latents[start : start + batch]}
            if self._conditional:
                inputs["label"] = labels[start : start + batch]
            pieces.append(self._session.run(["images"], inputs)[0])
        return np.concatenate(pieces)


class EncoderSession:
    """An exported encoder on the CPU."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])

    def __call__(self, images: NDArray[np.uint8], batch: int = 100) -> NDArray[np.float32]:
        """Latents float32 ``[n, dim]`` of images uint8 ``[n, …]``."""
        pieces = (images[start : start + batch] for start in range(0, len(images), batch))
        return np.concatenate([self._session.run(["latents"], {"images": piece})[0] for piece in pieces])


def graph_file(precision: Precision) -> str:
    """Name of a precision's graph in the package."""
    return "generator.onnx" if precision == "fp32" else f"generator.{precision}.onnx"

"""Feature extractors that a user brings as a file: any TorchScript or ONNX network, or Inception.

What each is given, and what it must give back: features ``[n, d]``, finite, row by row (in eval mode: the features of
an image do not depend on its neighbours in a batch, nor on chance).

| file | input |
|---|---|
| ``FILE.pt`` (TorchScript) | float32 ``[n, 3, H, W]`` in 0 … 1, at the images' own size |
| ``FILE.onnx`` | its one input ``[n, C, H, W]``: float32 in 0 … 1, or uint8 in 0 … 255 where it asks for that |
| ``inception=FILE`` (TorchScript) | uint8 ``[n, 3, H, W]`` in 0 … 255, and ``return_features=True`` |

Grey images are repeated in three channels where three are wanted. An ONNX input with fixed sides gets images resized
to them (bilinear, antialiased). Any other preparation, as a mean and a deviation, belongs into the network.
"""

import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from runtime.generator import session_options
from trainer.errors import DataError
from trainer.progress import watched

_BATCH = 64
_PROBES = 4
_TOLERANCE = 1e-3

Run = Callable[[NDArray[np.uint8]], NDArray[Any]]
"""Images uint8 ``[n, H, W, 3]`` or ``[n, H, W, 1]`` to whatever the network answers."""


class Extractor:
    """A network from a file, checked on real images before it is used."""

    def __init__(self, path: Path, run: Run, probes: NDArray[np.uint8]) -> None:
        """`probes` are a few real images uint8 ``[n, H, W, C]``.

        Raises:
            DataError: see `open_extractor`.
        """
        self.path, self._run = path, run
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self._check(probes[:_PROBES])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `trainer.evaluation.features.Features`."""
        starts = watched(range(0, len(images), _BATCH), self.path.name)
        return np.concatenate([self._run(images[start : start + _BATCH]).astype(np.float32) for start in starts])

    def _check(self, probes: NDArray[np.uint8]) -> None:
        try:
            found, again = self._run(probes), self._run(probes)
            alone = np.concatenate([self._run(probes[i : i + 1]) for i in range(len(probes))])
        except Exception as error:  # whatever a strange network raises
            reason = str(error).strip().splitlines() or [type(error).__name__]
            shape = "×".join(map(str, probes.shape[1:]))
            raise DataError(
                f"{self.path}: does not run on images of {shape} (height × width × channels): {reason[-1]}; what it "
                "is given stands in trainer/evaluation/extractors.py"
            ) from error
        if found.ndim != 2 or len(found) != len(probes) or not found.shape[1]:
            raise DataError(
                f"{self.path}: answers {len(probes)} images with shape {list(found.shape)}, not [{len(probes)}, d]: "
                "flatten or pool inside the network"
            )
        if not np.isfinite(found).all():
            raise DataError(f"{self.path}: answers with NaN or infinite features")
        scale = max(1e-6, float(np.abs(found).max()))
        if np.abs(found - again).max() > _TOLERANCE * scale:
            raise DataError(f"{self.path}: answers the same images twice differently: save it in eval mode (dropout?)")
        if np.abs(found - alone).max() > _TOLERANCE * scale:
            raise DataError(
                f"{self.path}: an image's features depend on the others of its batch: save it in eval mode (batch "
                "normalization?)"
            )


def open_extractor(path: Path, probes: NDArray[np.uint8], *, inception: bool = False) -> Extractor:
    """The network in `path`, with its kind by its suffix.

    Raises:
        DataError: nothing there, another kind of file, or a network that breaks the module's rules, and which.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; --features takes judge, pixels, inception=FILE, FILE.pt or FILE.onnx")
    return Extractor(path, _onnx(path) if path.suffix == ".onnx" else _torch_script(path, inception), probes)


def _torch_script(path: Path, inception: bool) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            network = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except Exception as error:  # torch raises many kinds
            raise DataError(
                f"{path}: not TorchScript; a file of weights alone cannot be run: load it into its network, then "
                "torch.jit.trace(network.eval(), example).save('FILE.pt'), or export ONNX"
            ) from error

    @torch.no_grad()
    def run(images: NDArray[np.uint8]) -> NDArray[Any]:
        pixels = _in_channels(torch.tensor(images), 3)
        answer = network(pixels, return_features=True) if inception else network(pixels.float() / 255)
        if not isinstance(answer, Tensor):
            raise TypeError(f"it answers with a {type(answer).__name__}, not one tensor")
        return answer.float().numpy()

    return run


def _onnx(path: Path) -> Run:
    try:
        session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises bare classes of its own
        raise DataError(f"{path}: onnxruntime refuses it: {error}") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        shapes = ", ".join(f"{each.name} {each.shape}" for each in inputs)
        raise DataError(f"{path}: takes {shapes}; one input [n, C, H, W] is allowed")
    wanted = inputs[0]
    batch, channels, *sides = wanted.shape
    if isinstance(batch, int):
        raise DataError(f"{path}: takes batches of {batch} alone; export it with a dynamic first dimension")
    if wanted.type not in ("tensor(float)", "tensor(uint8)"):
        raise DataError(f"{path}: takes {wanted.type}; tensor(float) and tensor(uint8) are allowed")

    def run(images: NDArray[np.uint8]) -> NDArray[Any]:
        pixels = torch.tensor(images)
        pixels = _in_channels(pixels, channels if isinstance(channels, int) else 3).float()
        height, width = (
            ours if isinstance(theirs, str) or theirs is None else theirs
            for ours, theirs in zip(images.shape[1:3], sides, strict=True)
        )
        if (height, width) != images.shape[1:3]:
            pixels = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True, align_corners=False)
        if wanted.type == "tensor(uint8)":
            prepared = pixels.round().clamp(0, 255).to(torch.uint8).numpy()
        else:
            prepared = (pixels / 255).numpy()
        answer: NDArray[Any] = session.run(None, {wanted.name: prepared})[0]
        return answer

    return run


def _in_channels(images: Tensor, channels: int) -> Tensor:
    """uint8 ``[n, H, W, C]`` to ``[n, channels, H, W]``: grey is repeated, other numbers stay for the network to
    refuse."""
    pixels = images.permute(0, 3, 1, 2)
    return pixels.expand(-1, channels, -1, -1).contiguous() if pixels.shape[1] == 1 else pixels.contiguous()

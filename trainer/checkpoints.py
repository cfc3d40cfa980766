"""Checkpoints: state dicts and plain values, loaded without running anything they hold."""

import io
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any, TypedDict

import torch
from lightning_fabric import Fabric

from runtime.atomic import write_atomic
from trainer.alarm import AlarmState
from trainer.data.order import OrderState
from trainer.errors import CheckpointDamaged
from trainer.quality import QualityState


class Position(TypedDict):
    """How far a run has come."""

    images: int
    steps: int
    seconds: float


class Checkpoint(TypedDict):
    """Everything a run needs to go on exactly."""

    position: Position
    system: dict[str, Any]
    order: OrderState
    random: dict[str, torch.Tensor]
    data_fingerprint: str
    alarm: AlarmState
    quality: QualityState


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace `path` whole or not at all."""
    buffer = io.BytesIO()
    torch.save(dict(checkpoint), buffer)
    write_atomic(path, buffer.getvalue())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read `path` onto the CPU; only tensors and plain values are allowed in it.

    Raises:
        CheckpointDamaged: a byte of its content is not what was written, or it holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at its checksums
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {damaged} differs")
        checkpoint: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["position"]["images"], checkpoint["alarm"]["begun"], checkpoint["quality"]["reached"]
    except (
        OSError,
        EOFError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        NotImplementedError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        first_line = str(error).partition("\n")[0]
        raise CheckpointDamaged(
            f"{path}: not a checkpoint of this trainer ({first_line}); start a new --run"
        ) from error
    return checkpoint


def random_state(fabric: Fabric) -> dict[str, torch.Tensor]:
    """State of PyTorch's random generators, on the CPU and on the device in use."""
    state = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(fabric.device)
    return state


def restore_random_state(state: dict[str, torch.Tensor], fabric: Fabric) -> None:
    """Put back what `random_state` returned; a state of another kind of device is passed over."""
    torch.set_rng_state(state["cpu"])
    if fabric.device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], fabric.device)

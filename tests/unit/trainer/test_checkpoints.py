"""A checkpoint comes back as it was written, or not at all."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.trainer.runs import assert_same_state
from trainer.checkpoints import read_checkpoint, write_checkpoint
from trainer.errors import CheckpointDamaged

FLIPS = 400


def write(path: Path) -> Path:
    weights = torch.arange(60, dtype=torch.float32)
    checkpoint: Any = {
        "position": {"images": 640, "steps": 40, "seconds": 1.5},
        "system": {"generator": {"weight": weights, "bias": weights[:3].clone()}},
        "order": {"seed": 1},
        "random": {"cpu": torch.arange(16, dtype=torch.uint8)},
        "data_fingerprint": "0" * 64,
        "alarm": {"begun": True},
        "quality": {"reached": False},
    }
    write_checkpoint(path, checkpoint)
    return path


def test_no_flipped_bit_goes_unseen(tmp_path: Path) -> None:
    """Some bits mean nothing, as those of the zip file's padding; torch alone takes those of the weights for good."""
    sound, path = write(tmp_path / "sound.pt"), tmp_path / "flipped.pt"
    content, chance, seen = sound.read_bytes(), random.Random(0), 0
    for _ in range(FLIPS):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        try:
            read_checkpoint(path)
        except CheckpointDamaged:
            seen += 1
        else:
            assert_same_state(path, sound, fewest=3)
    assert seen > FLIPS // 10


@pytest.mark.parametrize("kept", [0, 1, 100, -1, -1000])
def test_a_cut_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "cut.pt")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointDamaged, match=r"cut\.pt: not a checkpoint of this trainer"):
        read_checkpoint(path)


def test_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    path.write_text("hello")
    with pytest.raises(CheckpointDamaged):
        read_checkpoint(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(CheckpointDamaged, match="position"):
        read_checkpoint(path)
    with pytest.raises(CheckpointDamaged, match="No such file"):
        read_checkpoint(tmp_path / "none.pt")

"""Two processes compute what one computes on the same global batch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainer.checkpoints import read_checkpoint
from trainer.ranks import SharedDraws

CHECKOUT = Path(__file__).resolve().parents[3]
SETTINGS = (
    "generator={kind: mlp, latent_dim: 8, hidden: [32, 32]}",
    "discriminator={kind: mlp, hidden: [32]}",
    "budget={images: 3200}",
    "training.batch_size=32",
    "training.log_every=320",
    "training.grids=1",
    "evaluation.samples=200",
    "device.precision=fp32",
    "ema.statistics_images=256",
    "export={precisions: [fp32], parity_images: 32}",
    "augmentations={translation: {}}",
)
TOLERANCE = 1e-4
"""Largest difference of a weight after 100 steps: sums of gradients are taken in another order."""


@pytest.mark.parametrize(
    ("draw", "shape"),
    [
        (lambda: torch.randn(6, 3), (6, 3)),
        (lambda: torch.rand((6,)), (6,)),
        (lambda: torch.randint(-2, 3, (6,)), (6,)),
        (lambda: torch.randn_like(torch.empty(6, 2)), (6, 2)),
    ],
)
def test_parts_of_a_draw_make_up_the_whole(draw, shape) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    whole = draw()
    parts, states = [], []
    for rank in range(2):
        torch.manual_seed(0)
        half = _halved(draw, rank)
        parts.append(half)
        states.append(torch.get_rng_state())
    assert torch.equal(torch.cat(parts), whole)
    assert whole.shape == shape
    assert torch.equal(states[0], states[1])


def _halved(draw, rank: int) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """What one of two processes gets where a single one calls `draw` for 6 rows."""
    code = draw.__code__
    constants = tuple(3 if constant == 6 else _half(constant) for constant in code.co_consts)
    with SharedDraws(rank, 2, 3):
        result: torch.Tensor = type(draw)(code.replace(co_consts=constants), draw.__globals__)()
    return result


def _half(constant: object) -> object:
    return (3, *constant[1:]) if isinstance(constant, tuple) and constant[:1] == (6,) else constant


def test_draws_for_parts_of_a_batch_are_shared_as_those_for_all_of_it() -> None:
    torch.manual_seed(0)
    whole = torch.randn(8, 3), torch.rand(2)
    for rank in range(2):
        torch.manual_seed(0)
        with SharedDraws(rank, 2, 4, accumulate=4):
            assert torch.equal(torch.randn(4, 3), whole[0].chunk(2)[rank])
            assert torch.equal(torch.rand(1), whole[1].chunk(2)[rank])


def command(program: list[str], folder: Path) -> list[str]:
    """A tiny run of networks without batch norm."""
    settings = [argument for setting in SETTINGS for argument in ("--set", setting)]
    return [*program, "digits-cgan", "--run", str(folder / "run"), "--store", str(folder / "models"), *settings]


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    single = [sys.executable, "-m", "trainer"]
    double = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "trainer",
        "--",
    ]
    for name, program in (("one", single), ("two", double)):
        done = subprocess.run(
            command(program, tmp_path / name), cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("published") == 1
    states = [read_checkpoint(tmp_path / name / "run" / "checkpoint.pt") for name in ("one", "two")]
    for network in ("generator", "discriminator", "generator_ema"):
        for key, value in states[0]["system"][network].items():
            assert torch.allclose(value, states[1]["system"][network][key], rtol=0, atol=TOLERANCE), key
    assert torch.equal(states[0]["random"]["cpu"], states[1]["random"]["cpu"])
    logs = [(tmp_path / name / "run" / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    for left, right in zip(*([json.loads(line) for line in log] for log in logs), strict=True):
        assert left["images"] == right["images"]
        assert left["loss_generator"] == pytest.approx(right["loss_generator"], abs=1e-3)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    double = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "trainer",
        "--",
    ]
    done = subprocess.run(
        [*command(double, tmp_path), "--set", "training.batch_size=33"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "training.batch_size: 33 cannot be shared by 2 processes" in done.stderr

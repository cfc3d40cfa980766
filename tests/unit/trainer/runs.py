"""Tiny training runs for tests."""

from pathlib import Path
from typing import Any

import torch

from trainer.checkpoints import read_checkpoint
from trainer.config import apply_overrides
from trainer.data import open_data
from trainer.device import make_fabric
from trainer.loop import Loop
from trainer.recipe import Recipe, load_recipe
from trainer.run_folder import RunFolder

TINY = (
    "generator.latent_dim=6",
    "generator.width=8",
    "generator.min_width=8",
    "discriminator.width=8",
    "discriminator.min_width=8",
    "discriminator.features=8",
    "training.batch_size=16",
    "training.log_every=64",
    "training.grids=2",
    "ema.statistics_images=256",
    "evaluation.samples=200",
    "export.parity_images=32",
    "export.int8.images=64",
    "export.min_psnr_db=0",
    "budget.images=640",
    "budget.max_minutes=null",
    "augmentations.translation={}",
)
"""Overrides that make a run of 40 steps in about a second."""


def tiny_recipe(*overrides: str) -> Recipe:
    """The first recipe at the size of a test."""
    return apply_overrides(load_recipe("digits-cgan"), (*TINY, *overrides))


def tiny_loop(recipe: Recipe, folder: Path) -> Loop:
    """A loop in `folder`, begun or resumed as `latentd train` does it."""
    run = RunFolder(folder)
    data = open_data(recipe.data, run.images)
    fabric = make_fabric(recipe.device, data.train.spec)
    fabric.seed_everything(recipe.seed, verbose=False)
    run.samples.mkdir(parents=True, exist_ok=True)
    run.adopt(recipe)
    return Loop(recipe, data, recipe.system.build(recipe, data.train.spec, fabric), run, fabric)


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists by path."""
    if isinstance(value, dict):
        items = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, list):
        items = [(str(index), entry) for index, entry in enumerate(value)]
    else:
        return {path: value}
    return {leaf: found for key, entry in items for leaf, found in flatten(entry, f"{path}/{key}").items()}


def assert_same_state(left: Path, right: Path, *, fewest: int = 31) -> None:
    """Both checkpoints hold the same bits, in `fewest` tensors or more, but for the time it took."""
    states = [flatten(dict(read_checkpoint(path))) for path in (left, right)]
    assert states[0].keys() == states[1].keys()
    tensors = 0
    for path, value in states[0].items():
        if path == "/position/seconds":
            continue
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, states[1][path]), path
            tensors += 1
        else:
            assert value == states[1][path], path
    assert tensors >= fewest

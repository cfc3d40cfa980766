"""Where a run begins with the weights of a package in place of random ones: a recipe's `start_from`."""

from pathlib import Path
from typing import Any

from runtime.errors import PackageError
from runtime.manifest import Manifest
from runtime.package import Package, open_package
from trainer.checkpoints import read_checkpoint
from trainer.errors import ConfigError
from trainer.systems.base import System

CHECKPOINT_FILE = "checkpoint.pt"
_NOT_WEIGHTS = "_optimizer"  # their moments belong to the images of the parent

Weights = dict[str, Any]
"""State dicts of the networks by name, and of no optimizer."""


def weights_of(package: Package) -> Weights:
    """The networks that `package` was exported from, their averages, and the discriminator.

    Raises:
        RunError: its checkpoint cannot be read.
    """
    found = read_checkpoint(package.path / CHECKPOINT_FILE)["system"]
    return {name: part for name, part in found.items() if not name.endswith(_NOT_WEIGHTS)}


def begin_from(system: System, path: Path) -> Manifest:
    """Give `system` the networks of the package in folder `path`, whose manifest is returned.

    Raises:
        ConfigError: no such package, or its networks are others.
        RunError: its checkpoint cannot be read.
    """
    try:
        package = open_package(path)
    except PackageError as error:
        raise ConfigError(f"start_from: {error}; a folder STORE/NAME/VERSION is needed") from error
    weights = weights_of(package)
    own = system.state_dict()
    expected = [name for name in own if not name.endswith(_NOT_WEIGHTS)]
    try:
        if sorted(weights) != sorted(expected):
            raise RuntimeError(f"it holds {', '.join(weights)}, this recipe trains {', '.join(expected)}")
        system.load_state_dict(own | weights)
    except RuntimeError as error:  # torch names every tensor that differs
        reason = [line.strip() for line in str(error).splitlines()][:2]
        raise ConfigError(
            f"start_from: {path}: its networks are not those of this recipe: {' '.join(reason)}"
        ) from error
    return package.manifest

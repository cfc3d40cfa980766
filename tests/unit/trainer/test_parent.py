"""A run that begins with the weights of a package."""

from pathlib import Path

import pytest
import torch

from runtime.package import Package
from tests.unit.trainer.runs import TINY
from trainer.checkpoints import read_checkpoint
from trainer.errors import ConfigError
from trainer.training import TrainRequest, train

_QUICK = (*TINY, "budget.images=160", "export.precisions=[fp32]")


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("parent")
    package = train(TrainRequest("digits-cgan", folder / "run", folder / "models", _QUICK, None, ""), print).package
    assert package is not None
    return package


def test_a_run_begins_with_the_networks_of_the_package_and_fresh_optimizers(parent: Package, tmp_path: Path) -> None:
    settings = (*_QUICK, f"start_from={parent.path}", "budget.images=16", "seed=5")
    request = TrainRequest("digits-cgan", tmp_path / "run", tmp_path / "models", settings, "child", "")
    said: list[str] = []
    child = train(request, said.append).package
    assert child is not None
    assert "weights of digits-cgan@1" in said
    assert child.manifest.provenance.parent == "digits-cgan@1"
    assert child.manifest.provenance.config["start_from"] == "digits-cgan/1"
    before, after = (read_checkpoint(package.path / "checkpoint.pt")["system"] for package in (parent, child))
    for network in ("generator", "discriminator"):  # one step at a rate of 5e-4 moves each weight by that much
        for name, weights in before[network].items():
            if weights.is_floating_point() and "running" not in name:
                assert torch.allclose(weights, after[network][name], atol=2e-3), name
    assert {float(state["step"]) for state in after["generator_optimizer"]["state"].values()} == {1.0}


def test_a_run_without_a_parent_says_so(parent: Package) -> None:
    assert parent.manifest.provenance.parent is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("start_from={folder}/absent",), "STORE/NAME/VERSION is needed"),
        (("start_from={package}", "generator.width=16"), "its networks are not those of this recipe"),
    ],
)
def test_a_parent_that_does_not_fit_is_refused(
    parent: Package, tmp_path: Path, settings: tuple[str, ...], message: str
) -> None:
    chosen = tuple(setting.format(folder=tmp_path, package=parent.path) for setting in settings)
    request = TrainRequest("digits-cgan", tmp_path / "run", tmp_path / "models", (*_QUICK, *chosen), None, "")
    with pytest.raises(ConfigError, match=message):
        train(request, print)


def test_a_resumed_run_goes_on_with_its_own_weights(parent: Package, tmp_path: Path) -> None:
    settings = (*_QUICK, f"start_from={parent.path}")
    request = TrainRequest("digits-cgan", tmp_path / "run", tmp_path / "models", settings, "child", "")
    first = train(request, print).package
    assert first is not None
    (tmp_path / "run" / "result.json").unlink()
    again = train(request, print).package
    assert again is not None
    states = [read_checkpoint(package.path / "checkpoint.pt")["system"]["generator"] for package in (first, again)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

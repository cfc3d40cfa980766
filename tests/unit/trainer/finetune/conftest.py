"""One small package for the whole folder to be fine-tuned."""

from pathlib import Path

import pytest

from runtime.package import Package
from tests.unit.trainer.runs import TINY
from trainer.training import TrainRequest, train


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Digits 8×8, ten classes, fp32 and int8, trained for a moment."""
    folder: Path = tmp_path_factory.mktemp("base")
    settings = (*TINY, "budget.images=6_400", "augmentations={}")
    package = train(TrainRequest("digits-cgan", folder / "run", folder / "models", settings, None, ""), print).package
    assert package is not None
    return package

"""`--dry-run`: shapes, parameters, memory and time, and no trace left behind."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.unit.trainer.runs import TINY
from trainer.cli import train

SETTINGS = [argument for override in TINY for argument in ("--set", override)]


def test_it_tells_shapes_parameters_memory_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(train, ["digits-cgan", "--dry-run", *SETTINGS])
    assert result.exit_code == 0, result.output
    assert re.search(r"^UpsamplingGenerator: [\d,]+ parameters$", result.output, re.MULTILINE)
    assert re.search(r"output +UpsamplingGenerator +16×1×8×8", result.output)
    assert re.search(r"output +ProjectionDiscriminator +\d+$", result.output, re.MULTILINE)
    assert re.search(r"linear +Linear +16×\d+ +[\d,]+", result.output)
    assert re.search(r"[\d,]+ images/s over 10 steps of 16 images", result.output)
    assert re.search(r"memory: [\d,]+ MiB of the process", result.output)
    assert re.search(r"time: about [\d.]+ minutes for 640 images", result.output)
    assert list(tmp_path.iterdir()) == []

"""Nothing of latentd lets onnxruntime number the machine or tell anybody about it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "module", ["runtime.generator", "service.trials", "service.client.share", "trainer.check_graph"]
)
def test_onnxruntime_leaves_nothing_in_the_home(module: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = f"import {module}, sys; assert 'onnxruntime' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment | {"HOME": str(tmp_path)})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]

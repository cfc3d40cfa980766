"""The commands of deploy/README.md, executed; those that need a cluster or a daemon are at least for this one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.store import DirectoryStore
from service.jobs.assembly import assemble
from service.keys import KeyFile
from service.settings import Settings
from tests.kit.tiny_package import publish_tiny

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "deploy" / "README.md").read_text()
SHELL = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", SHELL, ids=range(len(SHELL)))
def test_shell(code: str, tmp_path: Path) -> None:
    publish_tiny(DirectoryStore(tmp_path / "models"), precisions=("fp32",))
    KeyFile(tmp_path / "state").create("client")
    assemble(Settings(store=tmp_path / "models", state=tmp_path / "state")).close()
    (tmp_path / "scripts").symlink_to(CHECKOUT / "scripts")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code.replace("scripts/sizing", "scripts/sizing --seconds 0.02")],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    if "sizing" in code:
        assert re.search(r"^\| tiny@1 \| 8×8×1 \| fp32 \| \d+\.\d \| \d+ \|( [\d,]+ \|){4}$", done.stdout, re.MULTILINE)
    if "backup.tar" in code:
        assert (tmp_path / "restored" / "state" / "keys.json").is_file()
        assemble(Settings(store=tmp_path / "models", state=tmp_path / "restored" / "state")).close()
        assert "tiny" in done.stdout


def test_every_file_that_it_names_exists() -> None:
    named = re.findall(r"(?:-k |`)((?:deploy|scripts|kubernetes|prometheus|grafana)/[\w./-]*)", README)
    assert len(named) > 8
    missing = [name for name in named if not ((CHECKOUT / name).exists() or (CHECKOUT / "deploy" / name).exists())]
    assert missing == []


def test_every_setting_that_it_names_exists() -> None:
    flags = {flag.replace("-", "_") for flag in re.findall(r"`--([a-z-]+)", README)}
    assert {"log_format", "trace_endpoint"} <= flags
    assert flags <= set(Settings.model_fields)
    limits = re.search(r"Limits on what one request may cost: (.+)\.", README)
    assert limits
    assert set(re.findall(r"`(\w+)`", limits[1])) <= set(Settings.model_fields)

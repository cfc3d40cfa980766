"""The README's code blocks, executed: Python and shell against a real server, training included."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.store import DirectoryStore
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SHELL = [code for language, code in BLOCKS if language == "bash"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("readme")
    publish_tiny(DirectoryStore(root / "models"), "digits-cgan")
    with running_server(root / "models", root / "state") as process:
        yield process


def here(code: str, server: ServerProcess) -> str:
    """The block with the default addresses replaced by this server's."""
    return code.replace("127.0.0.1:8000", server.http.removeprefix("http://")).replace("127.0.0.1:8001", server.grpc)


def test_every_block_is_of_a_kind_that_is_run_here() -> None:
    assert {language for language, _ in BLOCKS} == {"python", "bash", "console"}
    assert len(PYTHON) == 5
    assert len(SHELL) == 8


@pytest.mark.parametrize(
    "words", ["httpx.post(", "openai import", "tritonclient.http", "tritonclient.grpc", "GenerationStub", "curl "]
)
def test_each_client_is_shown_in_under_ten_lines(words: str) -> None:
    (shown, *_) = (code for code in [*PYTHON, *SHELL] if words in code)
    assert len(shown.splitlines()) < 10


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python(code: str, server: ServerProcess) -> None:
    names: dict[str, object] = {}
    exec(compile(here(code, server), "README.md", "exec"), names)  # noqa: S102 - the README is ours
    if "images" in names:
        images = names["images"]
        assert isinstance(images, np.ndarray)
        assert images.shape[1:] == (8, 8, 1)


def test_shell(server: ServerProcess, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for path in ("my-images/circles", "my-images/squares", "new-images/circles", "new-images/stars"):
        folder = tmp_path / path
        folder.mkdir(parents=True)
        for index in range(120 if path.startswith("new") else 30):
            Image.fromarray(random.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LATENTD_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LATENTD_URL": server.http,
    }
    for code in SHELL:
        quick = here(code, server).replace("--max-minutes 5", "--max-minutes 0.1")
        quick = quick.replace("ratio<=0.5", "ratio<=1000")  # noise cannot be learned
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", quick],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{quick}\n{done.stdout}\n{done.stderr}"
    assert Image.open(tmp_path / "threes.png").size == (32, 24)
    assert Image.open(tmp_path / "digits.png").size[0] > 600
    assert len((tmp_path / "images.ndjson").read_text().splitlines()) == 101
    assert getattr(Image.open(tmp_path / "walk.gif"), "n_frames", 1) > 10
    assert Image.open(tmp_path / "load.png").size == (1000, 520)
    assert (tmp_path / "data" / "mine" / "train-000000.tar").is_file()
    assert (tmp_path / "models" / "mine" / "1" / "generator.int8.onnx").is_file()
    assert (tmp_path / "models" / "mine-new" / "1" / "manifest.json").is_file()
    assert "features: pixels" in (tmp_path / "models" / "mine" / "1" / "report.html").read_text()

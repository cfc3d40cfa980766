"""The server's image, built without a container daemon and run as an operator would: read-only, as nobody, stopped."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny

CHECKOUT = Path(__file__).parents[2]
IMAGES = Path(os.environ.get("IMAGES", CHECKOUT / ".cache" / "images"))
IMAGE = "localhost/latentd-serve-cpu"
LARGEST = 350_000_000  # bytes, of which the base image is a good third
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=512:512")  # podman's own need CAP_SYS_RESOURCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def podman(*arguments: str | Path) -> str:
    """What `podman` printed; an error is the test's."""
    return _podman(*arguments).stdout.strip()


def logged(container: str) -> list[str]:
    """The lines that the container's process wrote to stderr, where a server logs."""
    return _podman("logs", container).stderr.strip().splitlines()


def _podman(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    storage = ("--root", IMAGES / "storage", "--runroot", IMAGES / "run", "--storage-driver", "overlay")
    options = (*storage, "--runtime", "runc", "--log-level", "error")
    run = subprocess.run(["podman", *options, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run


@pytest.fixture(scope="module")
def image() -> str:
    """The image `serve-cpu`, on a base made of Debian's packages; later builds take minutes less than the first."""
    missing = [tool for tool in ("buildah", "podman", "runc", "debootstrap") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install buildah podman runc debootstrap")
    if os.geteuid() != 0:
        pytest.skip("needs root, as debootstrap does")
    built = subprocess.run(
        ["scripts/build-images", "--stand-in", "serve-cpu"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return IMAGE


def free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def running(image: str, store: Path, state: Path) -> Iterator[tuple[str, str]]:
    """A container on this machine's loopback: its id and URL."""
    os.chown(state, 10001, 10001)
    http_port, grpc_port = free_ports()
    container = podman(
        *("run", "--detach", "--read-only", "--network", "host", *LIMITS, "--cap-drop", "all"),
        *("--env", f"LATENTD_HTTP_PORT={http_port}", "--env", f"LATENTD_GRPC_PORT={grpc_port}"),
        *("--volume", f"{store}:/data/models:ro", "--volume", f"{state}:/data/state", image),
        *("serve", "--store", "/data/models", "--state", "/data/state", "--log-format", "json"),
    )
    url = f"http://127.0.0.1:{http_port}"
    try:
        end = time.monotonic() + 60
        while not _ready(url):
            assert time.monotonic() < end, "\n".join(logged(container))
            time.sleep(0.2)
        yield container, url
    finally:
        podman("rm", "--force", "--time", "10", container)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_image_is_small_has_no_torch_and_no_root(image: str) -> None:
    described = json.loads(podman("image", "inspect", image))[0]
    assert described["Size"] <= LARGEST
    assert described["Config"]["User"] == "10001:10001"
    assert described["Config"]["StopSignal"] == "SIGTERM"
    assert described["Config"]["Labels"]["org.opencontainers.image.version"] == "0.1.0"
    code = "import importlib.util as i; print([m for m in ('torch', 'onnx', 'pip', 'pytest') if i.find_spec(m)])"
    isolated = ("run", "--rm", "--network", "none", *LIMITS, "--read-only", "--entrypoint", "python3")
    assert podman(*isolated, image, "-c", code) == "[]"


def test_it_serves_read_only_as_nobody_and_finishes_what_is_in_flight(image: str, tmp_path: Path) -> None:
    store, state = DirectoryStore(tmp_path / "models"), tmp_path / "state"
    state.mkdir()
    publish_tiny(store, delay=20)
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest's own are closed to other users
        folder.chmod(0o755)
    with running(image, store.root, state) as (container, url):
        assert httpx.post(f"{url}/v1/samples", json={"n": 4}).status_code == 200
        written = podman("exec", container, "sh", "-c", "touch /opt/latentd/x 2>&1 || id -u")
        assert written.splitlines() == ["touch: cannot touch '/opt/latentd/x': Read-only file system", "10001"]
        health = json.loads(podman("inspect", container))[0]["Config"]["Healthcheck"]["Test"]
        assert podman("exec", container, *health[1:]) == ""
        with ThreadPoolExecutor(4) as pool:
            body = {"model": "tiny", "n": 500, "format": "raw"}
            asked = [pool.submit(httpx.post, f"{url}/v1/samples", json=body, timeout=60) for _ in range(4)]
            time.sleep(0.3)
            podman("stop", "--time", "40", container)
            assert [answer.result().status_code for answer in asked] == [200] * 4
        assert podman("inspect", "--format", "{{.State.ExitCode}}", container) == "0"
        lines = [json.loads(line) for line in logged(container)]
    assert lines[-1]["message"] == "stopped"

"""The tests of `ray_jobs.py`, in a network of their own: Ray listens beyond loopback."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'latentd[ray]'"),
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs Linux and root for a network"),
]


def test_jobs_on_a_cluster() -> None:
    tests = Path(__file__).with_name("ray_jobs.py")
    command = [sys.executable, "-m", "tests.kit.own_network", sys.executable, "-m", "pytest", "-q", "--no-header"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tests)], cwd=Path(__file__).parents[2], check=False, timeout=1_500
    )
    assert done.returncode == 0

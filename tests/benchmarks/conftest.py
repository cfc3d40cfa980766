"""Prints each benchmark's figures at the end of the run, with the machine they were measured on."""

import os
import platform
from collections.abc import Callable, Iterator

import onnxruntime
import pytest

_LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Iterator[Callable[[str], None]]:
    """Call it with a line of figures."""
    yield request.config.stash.setdefault(_LINES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(_LINES, [])
    if not lines:
        return
    terminalreporter.section("benchmarks")
    cores = len(os.sched_getaffinity(0))
    terminalreporter.write_line(
        f"{platform.processor() or platform.machine()}, {cores} cores, Python {platform.python_version()}, "
        f"onnxruntime {onnxruntime.__version__}"
    )
    for line in lines:
        terminalreporter.write_line(line)

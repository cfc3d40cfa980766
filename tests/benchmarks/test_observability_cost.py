"""What metrics cost: CPU time per request of a real server, against one that counts nothing, in the same run.

CPU time rather than wall time, so that whatever else the machine does is left out; a server at its limit is bound by
it. One image per request: nothing to share the cost with.
"""

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.store import DirectoryStore
from service.client.lean_http import closed_loop
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

pytestmark = pytest.mark.slow  # its figures need a machine that does nothing else

SECONDS = 0.25
ROUNDS = 60  # many and short, in turns: a round differs by a tenth from the next, whatever is measured
SILENT = (sys.executable, "-m", "tests.benchmarks.silent_server")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    spent = [int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(spent) / 1e9


def per_request(server: ServerProcess) -> float:
    """CPU seconds per request of a closed loop."""
    before = cpu_seconds(server.pid)
    body: dict[str, object] = {"n": 1, "seed": 0, "format": "raw", "precision": "fp32"}
    load = closed_loop(f"{server.http}/v1/samples", body, concurrency=16, seconds=SECONDS)
    return (cpu_seconds(server.pid) - before) / len(load.latencies)


@pytest.mark.parametrize(("model", "delay"), [("small", 10), ("tiny", 0)])
def test_metrics_cost_at_most_three_percent(
    model: str, delay: int, tmp_path: Path, report: Callable[[str], None]
) -> None:
    """Of the small model, which the throughput is measured with, and of one that computes next to nothing."""
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, delay=delay, precisions=("fp32",))
    quiet = ("--log-level", "warning")
    with (
        running_server(store.root, tmp_path / "counting", *quiet) as counting,
        running_server(store.root, tmp_path / "silent", *quiet, latentd=SILENT) as silent,
    ):
        per_request(counting), per_request(silent)  # warm
        pairs = [(per_request(counting), per_request(silent)) for _ in range(ROUNDS)]
    costs = [1 - without / counted for counted, without in pairs]
    cost = statistics.median(costs)
    spent = statistics.median(counted for counted, _ in pairs)
    report(
        f"metrics, {model} model: {cost:.1%} of {spent * 1e6:.0f} µs of CPU per request "
        f"(quarters of {ROUNDS} rounds: {', '.join(f'{value:.1%}' for value in statistics.quantiles(costs))})"
    )
    assert cost <= 0.03


def test_cost_of_access_lines_is_told(tmp_path: Path, report: Callable[[str], None]) -> None:
    """No limit: a line is asked for or switched off by a setting, and its price belongs in the documentation."""
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, precisions=("fp32",))
    with (
        running_server(store.root, tmp_path / "json", "--log-format", "json") as lines,
        running_server(store.root, tmp_path / "none", "--access-log", "false") as none,
    ):
        per_request(lines), per_request(none)
        pairs = [(per_request(lines), per_request(none)) for _ in range(ROUNDS)]
    cost = statistics.median(1 - without / logged for logged, without in pairs)
    report(f"JSON access lines: {cost:.1%} of CPU per request")
    assert cost < 0.25

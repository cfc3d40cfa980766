"""A Ray cluster on this machine: a head that runs nothing, and nodes of one core that can be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx

from tests.kit.processes import descendants, wait_for

ADDRESS = "http://127.0.0.1:8265"
TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of a cluster that lives for a test
_RAY = Path(sys.executable).with_name("ray")
_GCS = "127.0.0.1:6379"
_FIRST_PORT = 20_000
_AGENT_PORTS = (
    "--dashboard-agent-grpc-port",
    "--dashboard-agent-listen-port",
    "--metrics-export-port",
    "--runtime-env-agent-port",
)
"""Given, since nodes of one machine would share a default, and a node waits only so long for ports that it is to find
out."""


@dataclass
class RayCluster:
    """Its nodes by the process that began each."""

    environment: Mapping[str, str]
    folder: Path
    nodes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _ports: Iterator[int] = field(default_factory=lambda: count(_FIRST_PORT))

    def add_node(self) -> "subprocess.Popen[bytes]":
        """One more node with one core."""
        node = self._start(f"node-{len(self.nodes)}", "--address", _GCS, "--num-cpus", "1")
        self.nodes.append(node)
        return node

    def node_of(self, pid: int) -> "subprocess.Popen[bytes]":
        """The node that runs process `pid`."""
        [found] = [node for node in self.nodes if pid in descendants(node.pid)]
        return found

    def kill(self, node: "subprocess.Popen[bytes]") -> None:
        """As if its machine had lost power."""
        for pid in [node.pid, *descendants(node.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        node.wait()
        self.nodes.remove(node)

    def _start(self, name: str, *options: str) -> "subprocess.Popen[bytes]":
        command: list[str | Path] = [
            _RAY,
            "start",
            "--block",
            "--node-ip-address",
            "127.0.0.1",
            "--disable-usage-stats",
            *(f"{option}={next(self._ports)}" for option in _AGENT_PORTS),
            *options,
        ]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def start_head(self) -> "subprocess.Popen[bytes]":
        """The node that schedules, and answers the Jobs API."""
        return self._start(
            "head", "--head", "--port", "6379", "--num-cpus", "0", "--dashboard-host", "127.0.0.1",
            "--temp-dir", str(self.folder / "ray"),
        )  # fmt: skip


@contextmanager
def running_cluster(folder: Path, nodes: int = 2) -> Iterator[RayCluster]:
    """A cluster that asks for `TOKEN`; all its processes are gone afterwards. Needs port 8265 for itself."""
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    cluster = RayCluster(environment, folder)
    head = cluster.start_head()
    try:
        wait_for(lambda: _alive() >= 1, 120.0, what="the head of the Ray cluster")
        for number in range(1, nodes + 1):  # one by one: nodes that begin together choose the same names for sockets
            cluster.add_node()
            wait_for(lambda number=number: _alive() >= 1 + number, 120.0, what="a node of the Ray cluster")  # type: ignore[misc]
        yield cluster
    finally:
        for process in [*cluster.nodes, head]:
            for pid in [process.pid, *descendants(process.pid)]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.wait()


def _alive() -> int:
    """Nodes that the cluster counts."""
    try:
        answer = httpx.get(f"{ADDRESS}/nodes?view=summary", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)
        summary = answer.raise_for_status().json()["data"]["summary"]
    except (httpx.HTTPError, KeyError, ValueError):
        return 0
    return sum(node["raylet"].get("state") == "ALIVE" for node in summary)

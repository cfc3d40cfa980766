"""A real `latentd serve` in a process of its own."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

LATENTD = Path(sys.executable).parent / "latentd"
READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 15.0

_WITH_CTRL_C = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
)


class ServerFailed(AssertionError):
    """The server did not start, or did not stop in order; the text ends with its log."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that has answered `/readyz` with 200.

    Attributes:
        http: base URL, e.g. ``http://127.0.0.1:41234``.
        grpc: target of a gRPC channel, e.g. ``127.0.0.1:41235``.
        log: file with everything it wrote to stdout and stderr.
        ready_after: seconds from its start until `/readyz` answered 200.
    """

    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    log: Path
    ready_after: float

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid


@contextmanager
def running_server(
    store: Path,
    state: Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    verify: ssl.SSLContext | None = None,
    latentd: Sequence[str | Path] = (LATENTD,),
) -> Iterator[ServerProcess]:
    """Run `latentd serve` on free loopback ports; leaving stops it by SIGTERM and asserts exit code 0.

    A test may itself end the server; its exit code must be 0 then too.

    Args:
        store: folder of packages.
        state: the server's state folder, made where it is absent.
        args: further command-line arguments.
        env: added to the environment, from which every other ``LATENTD_*`` variable is taken away.
        verify: how to ask a server with TLS whether it is ready.
        latentd: the command that takes ``serve`` and the arguments.

    Raises:
        ServerFailed: it ended or was not ready in time, or its exit code is not 0.
    """
    state.mkdir(parents=True, exist_ok=True)
    address_file, log = state / "server.json", state / "server.log"
    address_file.unlink(missing_ok=True)
    started = time.monotonic()
    process = start_latentd(
        *("serve", "--store", str(store), "--state", str(state), "--http-port", "0", "--grpc-port", "0"),
        *args,
        log=log,
        env=env,
        latentd=latentd,
    )
    try:
        addresses = _wait_until_ready(process, address_file, log, started, verify)
        yield ServerProcess(process, addresses["http"], addresses["grpc"], log, time.monotonic() - started)
    except BaseException as error:
        _stop(process)
        error.add_note(f"server log:\n{_read(log)}")
        raise
    code = _stop(process)
    if code != 0:
        raise ServerFailed(f"the server's exit code is {code}, its log:\n{_read(log)}")


def start_latentd(
    *args: str, log: Path, env: Mapping[str, str] | None = None, latentd: Sequence[str | Path] = (LATENTD,)
) -> subprocess.Popen[bytes]:
    """Start `latentd ARGS` with its output in `log`, for a test that watches it fail or stop by itself."""
    command = [*map(str, latentd), *args]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script runs the tests in its background; POSIX 2.11
        command = [sys.executable, "-Sc", _WITH_CTRL_C, *command]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LATENTD_")}
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**clean, **(env or {})},
        )


def _wait_until_ready(
    process: subprocess.Popen[bytes], address_file: Path, log: Path, started: float, verify: ssl.SSLContext | None
) -> dict[str, str]:
    while time.monotonic() - started < READY_WITHIN_S:
        if process.poll() is not None:
            raise ServerFailed(f"the server ended with exit code {process.returncode} before it was ready")
        if address_file.exists():
            addresses: dict[str, str] = json.loads(address_file.read_text())
            if _is_ready(addresses["http"], verify):
                return addresses
        time.sleep(0.02)
    raise ServerFailed(f"the server was not ready within {READY_WITHIN_S:.0f} s")


def _is_ready(url: str, verify: ssl.SSLContext | None) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5, verify=verify or True).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, then SIGKILL; the exit code (negative: the signal that ended it)."""
    process.terminate()
    try:
        return process.wait(STOPPED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _read(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else "(none)"

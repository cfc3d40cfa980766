"""Processes on this machine, children of this one, that end with it."""

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from service.jobs.folder import JobFolder
from service.jobs.runner import CannotStart, Ended, Launch
from service.jobs.worker_names import start_of
from service.launcher import launch_command

_CLEARED_WITHIN_S = 5.0


@dataclass(frozen=True)
class LocalLimits:
    """What a process may take.

    Attributes:
        memory_bytes: most private memory; None: no limit.
        cores: it runs on; None: all.
        nice: 0 to 19, added to the server's own.
        gpus: number of GPUs of this machine; the processes take turns.
    """

    memory_bytes: int | None = None
    cores: int | None = None
    nice: int = 10
    gpus: int = 0


class LocalRunner:
    """See `service.jobs.runner.Runner`. The thread that starts a process must outlive it: the process ends with it."""

    def __init__(self, limits: LocalLimits) -> None:
        self._limits = limits
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, launch: Launch) -> str:
        """See `Runner.start`."""
        folder = JobFolder(launch.folder)
        command = launch_command(
            launch.command,
            nice=self._limits.nice,
            memory_bytes=self._limits.memory_bytes,
            cores=self._limits.cores,
            pid_file=folder.process,
        )
        try:
            with folder.log.open("ab") as log:
                self._processes[launch.name] = subprocess.Popen(  # noqa: S603 - a command of our own
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment(launch),
                    start_new_session=True,
                )
        except OSError as error:
            raise CannotStart(f"its process cannot be started: {error}") from error
        return launch.name

    def poll(self, handle: str) -> Ended | None:
        """See `Runner.poll`."""
        code = self._processes[handle].poll()
        if code is None:
            return None
        return Ended(signal=-code) if code < 0 else Ended(code)

    def stop(self, handle: str, *, gently: bool) -> None:
        """See `Runner.stop`."""
        process = self._processes[handle]
        if process.poll() is None:
            if gently:
                process.send_signal(signal.SIGTERM)
            else:
                _kill_group(process.pid)

    def reap(self, handle: str) -> None:
        """See `Runner.reap`."""
        process = self._processes.pop(handle)
        _kill_group(process.pid)
        process.wait()

    def clear(self, folder: Path) -> None:
        """See `Runner.clear`."""
        path = JobFolder(folder).process
        try:
            noted = json.loads(path.read_bytes())
            pid, start = int(noted["pid"]), str(noted["start"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        deadline = time.monotonic() + _CLEARED_WITHIN_S
        while start_of(pid) == start and time.monotonic() < deadline:
            _kill_group(pid)
            time.sleep(0.02)
        path.unlink(missing_ok=True)

    def _environment(self, launch: Launch) -> dict[str, str]:
        """Ours without our settings, which may hold the password of the database."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LATENTD_")}
        if self._limits.cores is not None:
            kept["OMP_NUM_THREADS"] = str(self._limits.cores)
        if self._limits.gpus:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
            devices = visible if visible != [""] else [str(number) for number in range(self._limits.gpus)]
            kept["CUDA_VISIBLE_DEVICES"] = devices[launch.slot % len(devices)]
        return {**kept, "PYTHONUNBUFFERED": "1", **launch.environment}


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return

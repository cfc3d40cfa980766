"""Becomes another program, within limits: ``python -m service.launcher OPTIONS -- COMMAND …``.

Whatever this server starts, it starts through here, by exec and not by a fork of its own: a process that
ends with the one that started it, works at a lower priority than serving, in a group of its own, with bounded memory,
on some of the cores. Nothing but the standard library is imported, so that it costs a few milliseconds.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
UNSTARTED = 127
"""Exit code of a command that cannot be executed, as shells have it."""


def launch_command(
    command: Sequence[str],
    *,
    nice: int = 10,
    memory_bytes: int | None = None,
    cores: int | None = None,
    pid_file: Path | None = None,
) -> list[str]:
    """The command line that starts `command` through this module, as a child of this process.

    Args:
        nice: added to the niceness, 0 to 19.
        memory_bytes: most private memory (``RLIMIT_DATA``); a process that asks for more gets none.
        cores: it runs on so many of the cores that it may use.
        pid_file: gets ``{"pid", "start"}`` before the command begins; see `service.jobs.worker_names.start_of`.
    """
    options = ["--parent", str(os.getpid()), "--nice", str(nice)]
    if memory_bytes is not None:
        options += ["--memory", str(memory_bytes)]
    if cores is not None:
        options += ["--cores", str(cores)]
    if pid_file is not None:
        options += ["--pid-file", str(pid_file)]
    return [sys.executable, "-m", "service.launcher", *options, "--", *command]


def main(arguments: Sequence[str]) -> None:
    """Set the limits, then become the command; does not return."""
    parser = argparse.ArgumentParser(prog="python -m service.launcher")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--nice", type=int, default=0)
    parser.add_argument("--memory", type=int)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--pid-file")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    _end_with_parent(options.parent)
    os.nice(options.nice)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if options.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (options.memory, options.memory))
    if options.cores is not None and hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-min(options.cores, len(allowed)) :])
    if options.pid_file is not None:
        _write_pid(Path(options.pid_file))
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"{options.command[0]}: cannot be executed: {error.strerror}", file=sys.stderr)
        sys.exit(UNSTARTED)


def _end_with_parent(parent: int) -> None:
    """SIGKILL for this process when the thread that started it ends (Linux; survives exec)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before that was asked for
            os.kill(os.getpid(), signal.SIGKILL)


def _write_pid(path: Path) -> None:
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split() if Path("/proc/self/stat").exists() else []
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"pid": os.getpid(), "start": fields[19] if fields else None}))
    temporary.replace(path)


if __name__ == "__main__":
    main(sys.argv[1:])

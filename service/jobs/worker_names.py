"""The name under which a process claims jobs, and whether the process behind a name has ended.

A name is ``host/boot/namespace/pid/start``: on the same machine since the same start, in the same process namespace,
the process with this number and this start time is either still there or gone for ever. Of other machines' workers
nothing is known but their leases.
"""

import os
import socket
from pathlib import Path

_PARTS = 5


def worker_name() -> str:
    """The name of this process."""
    return "/".join([*_place(), str(os.getpid()), start_of(os.getpid()) or "0"])


def is_gone(name: str) -> bool:
    """Whether the worker called `name` was a process of this machine and has ended."""
    parts = name.split("/")
    if len(parts) != _PARTS or parts[:3] != _place() or parts[1] == "unknown" or not parts[3].isdecimal():
        return False
    return start_of(int(parts[3])) != parts[4]


def start_of(pid: int) -> str | None:
    """When process `pid` started, in clock ticks since the boot; None where there is none but a zombie at most."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def _place() -> list[str]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
        namespace = str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")
    except OSError:
        boot = namespace = "unknown"
    return [socket.gethostname().replace("/", "-"), boot, namespace]

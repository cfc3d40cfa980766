"""How many cores this process may really use, inside a container too."""

import os
from math import ceil
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cores(quota_file: Path = _QUOTA) -> int:
    """The cores of this process's affinity, or fewer where a container's CPU limit says so, rounded up.

    A limit (`docker run --cpus 2`, Kubernetes `limits.cpu`) is a quota of time and leaves the affinity alone, so that
    on a machine of 64 cores a server limited to two would start 64 workers.

    Args:
        quota_file: ``cpu.max`` of control groups version 2: a quota and a period in µs, or ``max``.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text().split()
        return max(1, min(cores, ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no control group of this kind, or no limit in it
        return cores

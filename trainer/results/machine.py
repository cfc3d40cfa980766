"""The machine and the versions that numbers were measured with."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("torch", "lightning-fabric", "numpy", "scikit-learn", "onnxruntime", "onnxruntime-gpu")


def machine() -> str:
    """Processor, cores, memory and system, in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = Path("/proc/cpuinfo")
    model = platform.machine()
    if names.exists():
        found = [line.partition(":")[2].strip() for line in names.read_text().splitlines() if "model name" in line]
        model = found[0] if found else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB of memory, {platform.system()}"


def versions() -> str:
    """Python and the packages that decide speed and numbers."""
    installed = []
    for name in _PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except ModuleNotFoundError:
            continue
    return ", ".join([f"Python {platform.python_version()}", *installed])

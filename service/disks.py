"""Free space where the server reads and writes, measured whenever metrics are asked for."""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from service.metrics import Metrics


def watch_disks(metrics: Metrics, folders: Mapping[str, Path]) -> None:
    """Report the file system of each of `folders` under its name, e.g. ``store``."""
    for name, folder in folders.items():
        metrics.disk_free_bytes.labels(name).set_function(partial(_usage, folder, "free"))
        metrics.disk_size_bytes.labels(name).set_function(partial(_usage, folder, "total"))


def _usage(folder: Path, part: str) -> float:
    """Bytes `free` to this process or in `total`; not a number where the folder cannot be asked."""
    try:
        return float(getattr(shutil.disk_usage(folder), part))
    except OSError:
        return float("nan")

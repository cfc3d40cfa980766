"""Memory and utilization of NVIDIA GPUs, read through the driver's own library whenever metrics are asked for.

Source: NVIDIA Management Library (NVML) API reference; its structures below are stable since version 2.
"""

import ctypes
import logging
from collections.abc import Callable
from functools import partial

from service.metrics import Metrics

_LOG = logging.getLogger(__name__)
_LIBRARY = "libnvidia-ml.so.1"


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


def watch_gpus(metrics: Metrics, library: str = _LIBRARY) -> int:
    """Report every GPU that the driver shows this process, by its index there; returns their number.

    Args:
        library: NVML's shared library; where there is none, there is nothing to watch.
    """
    try:
        nvml = ctypes.CDLL(library)
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        _LOG.warning("%s is there, but its GPUs cannot be asked; their metrics are left out", library)
        return 0
    for index in range(count.value):
        device = ctypes.c_void_p()
        if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0:
            _LOG.warning("GPU %d cannot be asked; its metrics are left out", index)
            continue
        for state in ("used", "free"):
            read = partial(_memory, nvml.nvmlDeviceGetMemoryInfo, device, state)
            metrics.gpu_memory_bytes.labels(str(index), state).set_function(read)
        busy = partial(_utilization, nvml.nvmlDeviceGetUtilizationRates, device)
        metrics.gpu_utilization_ratio.labels(str(index)).set_function(busy)
    return count.value


def _memory(ask: Callable[..., int], device: ctypes.c_void_p, state: str) -> float:
    memory = _Memory()
    return float(getattr(memory, state)) if ask(device, ctypes.byref(memory)) == 0 else float("nan")


def _utilization(ask: Callable[..., int], device: ctypes.c_void_p) -> float:
    """Share of the driver's last sampling period in which a kernel ran, 0 to 1."""
    rates = _Utilization()
    return rates.gpu / 100 if ask(device, ctypes.byref(rates)) == 0 else float("nan")

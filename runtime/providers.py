"""Which onnxruntime execution providers this machine can really use.

onnxruntime's own answer is not enough: `get_available_providers()` names CUDA wherever the GPU build is
installed, and a failed CUDA provider falls back to the CPU with nothing but a log line.
"""

import ctypes
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


def check_onnxruntime() -> None:
    """Refuse an environment without onnxruntime, or with both of its distributions.

    `onnxruntime` and `onnxruntime-gpu` install the same module: the last one wins, and removing either
    empties it.

    Raises:
        RuntimeError: saying which command mends it.
    """
    found = [name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name)]
    if not found:
        raise RuntimeError("onnxruntime is missing: install latentd[cpu], or latentd[gpu] beside an NVIDIA driver")
    if len(found) == 2:
        raise RuntimeError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: "
            "pip uninstall -y onnxruntime onnxruntime-gpu, then install exactly one of latentd[cpu], latentd[gpu]"
        )


def usable_providers() -> list[str]:
    """Providers to ask for, best first: CUDA where the build has it and the driver counts a device."""
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers() and cuda_device_count() > 0:
        return [CUDA, CPU]
    return [CPU]


@cache
def cuda_device_count() -> int:
    """Number of CUDA devices the driver reports; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True

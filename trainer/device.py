"""Where to compute and in which precision, through Lightning Fabric."""

import ctypes
import logging
from typing import Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field

from trainer.config import Config
from trainer.data.images import ImageSpec
from trainer.errors import ConfigError
from trainer.ranks import AveragedGradients, processes_per_node, world_size

_MALLOC_OPTIONS = {-3: 32 << 20, -1: (1 << 31) - 1}  # M_MMAP_THRESHOLD at its limit, M_TRIM_THRESHOLD: malloc.h
_ALL_THREADS = torch.get_num_threads()  # before anything changed it: one per core


class DeviceConfig(Config):
    """Hardware of the training run; the package does not depend on it."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a CUDA device where there is one."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward passes; losses and weights stay fp32. `auto` takes bf16 where the hardware
    computes in it."""

    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads of one operation; null: one for images of up to 16×16 pixels, else one per core. Steps on
    tiny images are too short to be shared: a second thread gains 1.4× on an idle machine and loses 4× on a
    busy one."""

    def threads_for(self, spec: ImageSpec) -> int:
        """CPU threads for images of that size."""
        if self.threads is not None:
            return self.threads
        return 1 if spec.height * spec.width <= 16 * 16 else _ALL_THREADS


def make_fabric(config: DeviceConfig, spec: ImageSpec) -> Fabric:
    """This process's device, for images of size `spec`, in touch with the others that torchrun started.

    Raises:
        ConfigError: CUDA is asked for and there is no such device.
    """
    cuda = torch.cuda.is_available()
    if config.accelerator == "cuda" and not cuda:
        raise ConfigError("device.accelerator: cuda is asked for, but PyTorch finds no CUDA device; use auto or cpu")
    accelerator = "cuda" if cuda and config.accelerator != "cpu" else "cpu"
    torch.set_num_threads(config.threads_for(spec))
    _keep_freed_memory()
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces bf16; `describe` does, too
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if computes_bf16(config, accelerator) else "32-true"
    if world_size() == 1:
        return Fabric(accelerator=accelerator, devices=1, precision=precision)
    fabric = Fabric(
        accelerator=accelerator,
        devices=processes_per_node(),
        num_nodes=world_size() // processes_per_node(),
        strategy=AveragedGradients(),
        precision=precision,
    )
    fabric.launch()
    return fabric


def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of freed tensors instead of returning it to the kernel at each step, which gives
    it back page by page: 7,000 page faults and a twentieth of the time of a step at 28×28. Does nothing elsewhere."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _MALLOC_OPTIONS.items():
            mallopt(option, value)


def describe(config: DeviceConfig, fabric: Fabric) -> str:
    """The device and precision of a `fabric` made from `config`, in words."""
    kind, threads = fabric.device.type, torch.get_num_threads()
    name = (
        torch.cuda.get_device_name(fabric.device) if kind == "cuda" else f"cpu, {threads} thread{'s' * (threads > 1)}"
    )
    processes = f"{fabric.world_size} processes, each " if fabric.world_size > 1 else ""
    return f"{processes}{name}, {'bf16' if computes_bf16(config, kind) else 'fp32'}"


def computes_bf16(config: DeviceConfig, accelerator: str) -> bool:
    """Whether forward passes on `accelerator` (`cpu` or `cuda`) are in bf16: where it is emulated, fp32 is faster."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if accelerator == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))

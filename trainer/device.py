"""Where to compute and in which precision, through Lightning Fabric."""

from typing import Literal

import torch
from lightning_fabric import Fabric

from trainer.config import Config
from trainer.errors import ConfigError


class DeviceConfig(Config):
    """Hardware of the training run; the package does not depend on it."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a CUDA device where there is one."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward passes; losses and weights stay fp32. `auto` takes bf16 where the hardware
    computes in it."""


def make_fabric(config: DeviceConfig) -> Fabric:
    """One process on one device.

    Raises:
        ConfigError: CUDA is asked for and there is no such device.
    """
    cuda = torch.cuda.is_available()
    if config.accelerator == "cuda" and not cuda:
        raise ConfigError(
            "device.accelerator: cuda is asked for, but PyTorch finds no CUDA device; use auto or cpu"
        )
    accelerator = "cuda" if cuda and config.accelerator != "cpu" else "cpu"
    bf16 = config.precision == "bf16" or (config.precision == "auto" and _computes_bf16(accelerator))
    return Fabric(accelerator=accelerator, devices=1, precision="bf16-mixed" if bf16 else "32-true")


def describe(fabric: Fabric) -> str:
    """The device and precision of `fabric` in words."""
    device = fabric.device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} threads"
    )
    return f"{name}, {'bf16' if fabric._precision.precision == 'bf16-mixed' else 'fp32'}"


def _computes_bf16(accelerator: str) -> bool:
    """Whether bf16 is native: elsewhere it is emulated, and slower than fp32."""
    if accelerator == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))

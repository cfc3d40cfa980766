"""Training systems: what the loop drives without knowing what is inside. To add one: its file, one line here."""

from trainer.registry import Registry
from trainer.systems.adversarial import AdversarialConfig
from trainer.systems.base import System, SystemConfig
from trainer.systems.vae_gan import VaeGanConfig

__all__ = ["SYSTEMS", "AdversarialConfig", "System", "SystemConfig", "VaeGanConfig"]

SYSTEMS: Registry[SystemConfig] = Registry("system")
SYSTEMS.register(AdversarialConfig)
SYSTEMS.register(VaeGanConfig)

"""Generators and discriminators, one per file. To add one: write its file, then one line here."""

from trainer.networks.base import DiscriminatorConfig, GeneratorConfig
from trainer.networks.projection_discriminator import ProjectionDiscriminatorConfig
from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig
from trainer.registry import Registry

__all__ = ["DISCRIMINATORS", "GENERATORS", "DiscriminatorConfig", "GeneratorConfig"]

GENERATORS: Registry[GeneratorConfig] = Registry("generator")
GENERATORS.register(UpsamplingGeneratorConfig)

DISCRIMINATORS: Registry[DiscriminatorConfig] = Registry("discriminator")
DISCRIMINATORS.register(ProjectionDiscriminatorConfig)

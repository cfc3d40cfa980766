"""Exported generators of every kind, with random weights whose images are no noise."""

from dataclasses import dataclass
from pathlib import Path

import torch

from trainer.data import ImageSpec
from trainer.ema import with_statistics
from trainer.export import ExportGraph, export_fp32
from trainer.networks import GeneratorConfig
from trainer.networks.base import Generator
from trainer.networks.dcgan_generator import DcganGeneratorConfig
from trainer.networks.lstm_generator import LstmGeneratorConfig
from trainer.networks.mlp_generator import MlpGeneratorConfig
from trainer.networks.resnet_generator import ResnetGeneratorConfig
from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig


@dataclass(frozen=True)
class Kind:
    """A generator and the images it makes."""

    config: GeneratorConfig
    spec: ImageSpec

    def build(self) -> Generator:
        """Settled statistics, classes that differ, eval mode."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            generator = self.config.build(self.spec)
            with torch.no_grad():
                for name, parameter in generator.named_parameters():
                    if name.endswith(("scale", "shift")):
                        parameter.add_(torch.randn_like(parameter) * 0.3)
                    elif name.endswith("bias") and parameter.ndim == 1:
                        parameter.add_(torch.randn_like(parameter) * 0.05)
        return with_statistics(generator, classes=self.spec.classes, images=256)

    def export(self, path: Path) -> Generator:
        """Write the fp32 graph."""
        generator = self.build()
        export_fp32(ExportGraph(generator, conditional=self.spec.classes > 1), path)
        return generator


_DCGAN = DcganGeneratorConfig(latent_dim=8, width=32, min_width=8)
_UPSAMPLING = UpsamplingGeneratorConfig(latent_dim=8, width=32, min_width=8)
_RESNET = ResnetGeneratorConfig(latent_dim=8, width=16)
_LSTM = LstmGeneratorConfig(content_dim=6, motion_dim=4, state=16, path_dim=8, width=16, min_width=8)

KINDS = {
    "upsampling": Kind(_UPSAMPLING, ImageSpec(14, 14, 1, 4)),
    "upsampling without classes": Kind(_UPSAMPLING, ImageSpec(14, 14, 1, 1)),
    "dcgan": Kind(_DCGAN, ImageSpec(12, 12, 1, 1)),
    "dcgan with classes": Kind(_DCGAN, ImageSpec(12, 12, 3, 4)),
    "resnet": Kind(_RESNET, ImageSpec(14, 14, 3, 4)),
    "resnet without norms": Kind(_RESNET.model_copy(update={"normalize": False}), ImageSpec(14, 14, 3, 4)),
    "mlp": Kind(MlpGeneratorConfig(latent_dim=8, hidden=(64, 128)), ImageSpec(12, 12, 1, 1)),
    "mlp with norms": Kind(MlpGeneratorConfig(latent_dim=8, hidden=(64, 128), batch_norm=True), ImageSpec(9, 9, 1, 4)),
    "lstm": Kind(_LSTM, ImageSpec(14, 14, 1, 1, frames=5)),
    "lstm that shifts": Kind(
        _LSTM.model_copy(update={"path_dim": 0, "reach": 0.5, "picture": 10, "whole_pixels": True}),
        ImageSpec(14, 14, 1, 4, frames=5),
    ),
}
"""By name; small enough for tests."""

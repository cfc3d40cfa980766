"""Generators, discriminators and encoders, one per file. To add one: write its file, then one line here."""

from trainer.networks.base import DiscriminatorConfig, EncoderConfig, GeneratorConfig
from trainer.networks.concatenation_discriminator import ConcatenationDiscriminatorConfig
from trainer.networks.convolutional_encoder import ConvolutionalEncoderConfig
from trainer.networks.dcgan_discriminator import DcganDiscriminatorConfig
from trainer.networks.dcgan_generator import DcganGeneratorConfig
from trainer.networks.lstm_generator import LstmGeneratorConfig
from trainer.networks.mlp_discriminator import MlpDiscriminatorConfig
from trainer.networks.mlp_generator import MlpGeneratorConfig
from trainer.networks.projection_discriminator import ProjectionDiscriminatorConfig
from trainer.networks.recurrent_encoder import RecurrentEncoderConfig
from trainer.networks.resnet_discriminator import ResnetDiscriminatorConfig
from trainer.networks.resnet_generator import ResnetGeneratorConfig
from trainer.networks.sequence_discriminator import SequenceDiscriminatorConfig
from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig
from trainer.registry import Registry

__all__ = ["DISCRIMINATORS", "ENCODERS", "GENERATORS", "DiscriminatorConfig", "EncoderConfig", "GeneratorConfig"]

GENERATORS: Registry[GeneratorConfig] = Registry("generator")
GENERATORS.register(UpsamplingGeneratorConfig)
GENERATORS.register(MlpGeneratorConfig)
GENERATORS.register(DcganGeneratorConfig)
GENERATORS.register(ResnetGeneratorConfig)
GENERATORS.register(LstmGeneratorConfig)

DISCRIMINATORS: Registry[DiscriminatorConfig] = Registry("discriminator")
DISCRIMINATORS.register(ProjectionDiscriminatorConfig)
DISCRIMINATORS.register(ConcatenationDiscriminatorConfig)
DISCRIMINATORS.register(MlpDiscriminatorConfig)
DISCRIMINATORS.register(DcganDiscriminatorConfig)
DISCRIMINATORS.register(ResnetDiscriminatorConfig)
DISCRIMINATORS.register(SequenceDiscriminatorConfig)

ENCODERS: Registry[EncoderConfig] = Registry("encoder")
ENCODERS.register(ConvolutionalEncoderConfig)
ENCODERS.register(RecurrentEncoderConfig)

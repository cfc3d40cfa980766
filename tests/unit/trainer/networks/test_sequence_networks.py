"""Networks of sequences: shapes, latents of a sequence and of its steps, and what they refuse."""

import pytest
import torch

from trainer.data import ImageSpec
from trainer.errors import ConfigError
from trainer.networks import DISCRIMINATORS, ENCODERS, GENERATORS
from trainer.networks.convolutional_encoder import ConvolutionalEncoderConfig
from trainer.networks.lstm_generator import LstmGeneratorConfig
from trainer.networks.recurrent_encoder import RecurrentEncoderConfig
from trainer.networks.sequence_discriminator import SequenceDiscriminatorConfig, spread
from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig

SPECS = [ImageSpec(20, 20, 1, 10, 5), ImageSpec(24, 16, 3, 1, 3)]
LABELS = torch.tensor([0, 0, 0])


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("step_dim", [0, 2])
def test_the_generator_makes_sequences(spec: ImageSpec, step_dim: int) -> None:
    built = LstmGeneratorConfig(content_dim=3, motion_dim=4, step_dim=step_dim).build(spec)
    assert built.latent_dim == 3 + 4 + step_dim * spec.frames
    frames = built(torch.randn(3, built.latent_dim), LABELS)
    assert frames.shape == (3, spec.frames, spec.channels, spec.height, spec.width)
    assert frames.abs().max() <= 1


def test_the_latent_of_a_step_reaches_that_frame_and_later_ones_alone() -> None:
    built = LstmGeneratorConfig(content_dim=3, motion_dim=4, step_dim=2).build(SPECS[0]).eval()
    latents = torch.randn(1, built.latent_dim)
    changed = latents.clone()
    changed[0, 7 + 2 * 2 : 7 + 2 * 3] += 1  # of frame 2
    with torch.no_grad():
        difference = (built(latents, LABELS[:1]) - built(changed, LABELS[:1])).abs().amax((0, 2, 3, 4))
    assert difference[:2].max() == 0
    assert difference[2:].min() > 0


@pytest.mark.parametrize("path_dim", [0, 4])
def test_what_is_drawn_can_be_shifted(path_dim: int) -> None:
    built = LstmGeneratorConfig(path_dim=path_dim, reach=0.4).build(SPECS[1])
    assert built(torch.randn(3, built.latent_dim), LABELS).shape == (3, 3, 3, 24, 16)


def test_a_smaller_picture_stands_in_the_middle_of_black() -> None:
    built = LstmGeneratorConfig(picture=8, path_dim=4).build(SPECS[0])
    frames = built(torch.randn(3, built.latent_dim), LABELS)
    assert frames.shape == (3, 5, 1, 20, 20)
    assert frames[..., 6:14, 6:14].min() > -1
    assert frames.sum(dim=(0, 1, 2))[:6].max() == frames.sum(dim=(0, 1, 2))[14:].max() == -15


def test_pictures_land_on_whole_pixels_and_gradients_pass_nevertheless() -> None:
    built = LstmGeneratorConfig(path_dim=0, reach=0.3, whole_pixels=True, picture=8).build(SPECS[0])
    latents = torch.randn(3, built.latent_dim)
    frames = built(latents, LABELS)
    light = (frames + 1).sum((2, 3, 4))
    assert torch.allclose(light, light[:, :1].expand_as(light), rtol=1e-3)
    assert ((frames + 1).abs() > 1e-5).sum((2, 3, 4)).max() == 64
    frames.square().sum().backward()
    assert built.to_place.weight.grad is not None
    assert built.to_place.weight.grad.abs().max() > 0
    built.eval()
    with torch.no_grad():
        assert ((built(latents, LABELS) + 1) > 0).sum((2, 3, 4)).max() == 64


def test_a_generator_in_which_nothing_would_move_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing would move"):
        LstmGeneratorConfig(path_dim=0).build(SPECS[0])


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("judges", [("sequence",), ("frames",), ("sequence", "frames")])
def test_the_discriminator_gives_a_logit_per_judge(spec: ImageSpec, judges: tuple[str, ...]) -> None:
    built = SequenceDiscriminatorConfig.model_validate({"judges": judges}).build(spec)
    images = torch.rand(3, spec.frames, spec.channels, spec.height, spec.width) * 2 - 1
    assert built(images, LABELS).shape == (3, len(judges))


def test_the_judge_of_frames_does_not_see_their_order_and_that_of_sequences_does() -> None:
    built = SequenceDiscriminatorConfig().build(SPECS[0])
    images = torch.rand(3, 5, 1, 20, 20) * 2 - 1
    forwards, shuffled = built(images, LABELS), built(images[:, [3, 0, 4, 1, 2]], LABELS)
    assert torch.allclose(forwards[:, 1], shuffled[:, 1], atol=1e-6)
    assert (forwards[:, 0] - shuffled[:, 0]).abs().min() > 1e-5


def test_the_judge_of_frames_sees_the_same_wherever_it_is_in_the_frame() -> None:
    built = SequenceDiscriminatorConfig(judges=("frames",), window=8).build(SPECS[0])
    images = torch.full((2, 5, 1, 20, 20), -1.0)
    images[0, :, :, 3:9, 4:10] = images[1, :, :, 10:16, 12:18] = torch.rand(5, 1, 6, 6)
    here, there = built(images, LABELS[:2])
    assert torch.allclose(here, there, atol=1e-5)


def test_the_judge_of_frames_looks_at_as_many_as_it_is_told() -> None:
    assert spread(16, 2) == [4, 12]
    assert spread(5, 1) == [2]
    assert spread(3, 9) == [0, 1, 2]
    built = SequenceDiscriminatorConfig(judges=("frames",), frames=2).build(SPECS[0])
    images = torch.rand(3, 5, 1, 20, 20)
    changed = images.clone()
    changed[:, [0, 2, 4]] = 0
    assert torch.equal(built(images, LABELS), built(changed, LABELS))


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize(("step_dim", "window"), [(0, None), (2, 12)])
def test_the_recurrent_encoder_finds_latents_of_its_generator(
    spec: ImageSpec, step_dim: int, window: int | None
) -> None:
    built = LstmGeneratorConfig(content_dim=3, motion_dim=4, step_dim=step_dim).build(spec)
    encoder = RecurrentEncoderConfig(window=window).build(spec, built)
    mean, log_variance = encoder(torch.rand(3, spec.frames, spec.channels, spec.height, spec.width))
    assert mean.shape == log_variance.shape == (3, built.latent_dim)


def test_the_convolutional_encoder_finds_latents_of_its_generator() -> None:
    spec = ImageSpec(28, 28, 1, 1)
    built = UpsamplingGeneratorConfig(latent_dim=5).build(spec)
    mean, log_variance = ConvolutionalEncoderConfig().build(spec, built)(torch.rand(3, 1, 28, 28))
    assert mean.shape == log_variance.shape == (3, 5)


def test_networks_of_sequences_refuse_still_images() -> None:
    still = ImageSpec(20, 20, 1, 10)
    with pytest.raises(ConfigError, match=r"generator lstm.*data\.moving"):
        GENERATORS.lookup("lstm")(kind="lstm").build(still)
    with pytest.raises(ConfigError, match="discriminator sequence"):
        DISCRIMINATORS.lookup("sequence")(kind="sequence").build(still)
    with pytest.raises(ConfigError, match="encoder recurrent"):
        ENCODERS.lookup("recurrent")(kind="recurrent").build(still, UpsamplingGeneratorConfig().build(still))

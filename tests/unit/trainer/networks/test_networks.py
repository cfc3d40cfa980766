"""Networks of every size the trainer accepts."""

import pytest
import torch

from trainer.data import ImageSpec
from trainer.networks import DISCRIMINATORS, GENERATORS
from trainer.networks.base import doublings
from trainer.networks.conditional_batch_norm import ConditionalBatchNorm2d
from trainer.networks.projection_discriminator import ProjectionDiscriminatorConfig
from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig

SPECS = [
    ImageSpec(8, 8, 1, 10),
    ImageSpec(28, 28, 1, 10),
    ImageSpec(32, 32, 3, 10),
    ImageSpec(64, 64, 3, 1),
    ImageSpec(27, 45, 3, 4),
    ImageSpec(4, 4, 1, 2),
]


@pytest.mark.parametrize(
    ("side", "expected"), [(4, 0), (7, 0), (8, 1), (14, 1), (28, 2), (32, 3), (56, 3), (64, 4), (256, 6)]
)
def test_doublings(side: int, expected: int) -> None:
    assert doublings(ImageSpec(side, side, 1, 1)) == expected


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", sorted({*GENERATORS.kinds()} - {"dcgan", "lstm"}))
def test_generators_make_images_of_the_size_asked_for(kind: str, spec: ImageSpec) -> None:
    generator = GENERATORS.lookup(kind)(kind=kind).build(spec)
    labels = torch.tensor([0, spec.classes - 1, 0])
    images = generator(torch.randn(3, generator.latent_dim), labels)
    assert images.shape == (3, spec.channels, spec.height, spec.width)
    assert images.abs().max() <= 1


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("kind", sorted({*DISCRIMINATORS.kinds()} - {"sequence"}))
def test_discriminators_give_one_logit_per_image(kind: str, spec: ImageSpec) -> None:
    discriminator = DISCRIMINATORS.lookup(kind)(kind=kind).build(spec)
    images = torch.rand(3, spec.channels, spec.height, spec.width) * 2 - 1
    assert discriminator(images, torch.tensor([0, spec.classes - 1, 0])).shape == (3,)


def test_the_label_matters_to_both() -> None:
    spec = ImageSpec(8, 8, 1, 10)
    generator, discriminator = (
        UpsamplingGeneratorConfig().build(spec),
        ProjectionDiscriminatorConfig().build(spec),
    )
    generator.eval()
    latents, three, four = torch.randn(2, generator.latent_dim), torch.tensor([3, 3]), torch.tensor([4, 4])
    assert not torch.allclose(generator(latents, three), generator(latents, four))
    images = torch.randn(2, 1, 8, 8)
    assert not torch.allclose(discriminator(images, three), discriminator(images, four))


def test_conditional_batch_norm_normalizes_then_scales_by_class() -> None:
    norm = ConditionalBatchNorm2d(2, 3)
    with torch.no_grad():
        norm.scale.copy_(torch.tensor([[1.0, 1], [2, 2], [3, 3]]))
        norm.shift.copy_(torch.tensor([[0.0, 0], [1, 1], [-1, -1]]))
    images, labels = torch.randn(50, 2, 4, 4) * 5 + 7, torch.randint(0, 3, (50,))
    mean, var = images.mean((0, 2, 3), keepdim=True), images.var((0, 2, 3), keepdim=True, unbiased=False)
    normalized = (images - mean) / torch.sqrt(var + 1e-5)
    expected = normalized * norm.scale[labels][:, :, None, None] + norm.shift[labels][:, :, None, None]
    torch.testing.assert_close(norm(images, labels), expected, atol=1e-5, rtol=0)


def test_conditional_batch_norm_folds_its_statistics_in_eval_mode() -> None:
    norm = ConditionalBatchNorm2d(2, 3)
    with torch.no_grad():
        norm.scale.normal_()
        norm.shift.normal_()
    for _ in range(3):
        norm(torch.randn(20, 2, 4, 4) * 3 + 1, torch.randint(0, 3, (20,)))
    norm.eval()
    images, labels = torch.randn(6, 2, 4, 4), torch.tensor([0, 1, 2, 2, 1, 0])
    expected = norm.normalize(images) * norm.scale[labels][:, :, None, None] + norm.shift[labels][:, :, None, None]
    torch.testing.assert_close(norm(images, labels), expected, atol=1e-5, rtol=0)

import pytest
import torch
import torch.nn.functional as F

from trainer.networks.resampled_convolutions import DownsampledConv2d, UpsampledConv2d

SIDES = [(7, 7), (5, 8), (1, 3)]


@pytest.mark.parametrize("sides", SIDES)
def test_upsampled_is_upsampling_then_convolution(sides: tuple[int, int]) -> None:
    conv, images = UpsampledConv2d(3, 5), torch.randn(2, 3, *sides)
    plain = F.conv2d(F.interpolate(images, scale_factor=2.0), conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(conv(images), plain)


@pytest.mark.parametrize("sides", [*SIDES[:2], (28, 29)])
def test_downsampled_is_convolution_then_average(sides: tuple[int, int]) -> None:
    conv, images = DownsampledConv2d(3, 5), torch.randn(2, 3, *sides)
    plain = F.avg_pool2d(F.conv2d(images, conv.weight, conv.bias, padding=1), 2)
    torch.testing.assert_close(conv(images), plain)


def test_gradients_are_those_of_the_plain_form() -> None:
    conv, images = UpsampledConv2d(3, 5).double(), torch.randn(2, 3, 4, 6, dtype=torch.float64)
    plain = F.conv2d(F.interpolate(images, scale_factor=2.0), conv.weight, conv.bias, padding=1)
    upstream = torch.randn_like(plain)
    expected = torch.autograd.grad(plain, list(conv.parameters()), upstream)
    found = torch.autograd.grad(conv(images), list(conv.parameters()), upstream)
    torch.testing.assert_close(found, expected)


def test_exported_graphs_have_no_transposed_convolution() -> None:
    program = torch.export.export(UpsampledConv2d(3, 5).eval(), (torch.randn(2, 3, 4, 4),))
    operators = {str(node.target) for node in program.graph.nodes}
    assert any("upsample" in name for name in operators)
    assert not any("transpose" in name for name in operators)

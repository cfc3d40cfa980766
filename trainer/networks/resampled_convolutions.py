"""3×3 convolutions beside a change of size, computed as one convolution that does fewer products.

Nearest-neighbour upsampling and a 3×3 convolution are, exactly, one transposed 4×4 convolution of stride 2; a 3×3
convolution and 2×2 averaging are one 4×4 convolution of stride 2. Either takes 4 products per pixel of the large
image and pair of channels in place of 9. (StyleGAN's "fused scale" is the same with a filter of its own: Karras et
al. 2019, appendix.) Weights stay those of the 3×3 convolution, so checkpoints and exported graphs know nothing of
it: ONNX graphs get the upsampling and the convolution, which have int8 kernels where transposed ones have none.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UpsampledConv2d(nn.Conv2d):
    """Nearest upsampling by 2, then a 3×3 convolution that keeps the size."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, after, 2 H, 2 W]``."""
        if torch.compiler.is_exporting():
            return super().forward(F.interpolate(images, scale_factor=2.0, mode="nearest"))
        weight = _box_filtered(self.weight).flip(2, 3).transpose(0, 1)
        return F.conv_transpose2d(images, weight, self.bias, stride=2, padding=1)


class DownsampledConv2d(nn.Conv2d):
    """A 3×3 convolution that keeps the size, then averaging over 2×2 pixels; an odd last row or column is cut off."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, after, ⌊H / 2⌋, ⌊W / 2⌋]``."""
        return F.conv2d(images, _box_filtered(self.weight) / 4, self.bias, stride=2, padding=1)


def _box_filtered(weight: Tensor) -> Tensor:
    """Kernels ``[…, 3, 3]``, each convolved with a 2×2 box of ones: ``[…, 4, 4]``."""
    padded = F.pad(weight, (1, 1, 1, 1))
    rows = padded[..., :-1, :] + padded[..., 1:, :]
    return rows[..., :-1] + rows[..., 1:]

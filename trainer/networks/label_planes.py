"""Classes as further channels of an image."""

import torch
from torch import Tensor, nn

from trainer.data.images import ImageSpec


class LabelPlanes(nn.Module):
    """A learned plane per class, stacked below the image's channels (Mirza and Osindero 2014, "Conditional
    generative adversarial nets", section 3.2, with a plane in the place of a layer).

    Attributes:
        channels: channels of what comes out: the image's, and one more where there are classes.
    """

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self._size = (1, spec.height, spec.width)
        self.embed = nn.Embedding(spec.classes, spec.height * spec.width) if spec.classes > 1 else None
        self.channels = spec.channels + (spec.classes > 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, C, H, W]`` and int64 ``[n]`` to float ``[n, channels, H, W]``."""
        if self.embed is None:
            return images
        return torch.cat([images, self.embed(labels).unflatten(1, self._size).to(images.dtype)], dim=1)

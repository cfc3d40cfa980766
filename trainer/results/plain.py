"""Two pairs of networks and their training step written the plain way: the rival of the study of speed.

What a tutorial would write: eager fp32, images in PyTorch's default layout, Adam parameter by parameter, upsampling
and averaging as layers of their own, generated images drawn once for each player, gradients of the discriminator's
weights computed in both steps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Loss = Callable[[Tensor], Tensor]
"Of logits float ``[n]``."


@dataclass(frozen=True)
class Rates:
    """Settings of Adam for both players."""

    generator: float
    discriminator: float
    betas: tuple[float, float]


class PlainStep:
    """One update of each player, and of the generator's average; images are float ``[n, C, H, W]`` in −1 … 1.

    Args:
        losses: of the logits of real images, of generated ones, and of generated ones for the generator.
        rates: of Adam.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        latent_dim: int,
        losses: tuple[Loss, Loss, Loss],
        rates: Rates,
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self._latent_dim, self._losses = latent_dim, losses
        self._generator_optimizer = torch.optim.Adam(generator.parameters(), rates.generator, rates.betas)
        self._discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), rates.discriminator, rates.betas)
        self._average = [parameter.detach().clone() for parameter in generator.parameters()]

    def __call__(self, real: Tensor, labels: Tensor) -> None:
        """Train on one batch with labels int64 ``[n]``."""
        loss_real, loss_fake, loss_generator = self._losses
        self._discriminator_optimizer.zero_grad()
        torch.autograd.backward(loss_real(self.discriminator(real, labels)))
        torch.autograd.backward(loss_fake(self.discriminator(self._draw(labels).detach(), labels)))
        self._discriminator_optimizer.step()
        self._generator_optimizer.zero_grad()
        torch.autograd.backward(loss_generator(self.discriminator(self._draw(labels), labels)))
        self._generator_optimizer.step()
        with torch.no_grad():
            for average, parameter in zip(self._average, self.generator.parameters(), strict=True):
                average.mul_(0.999).add_(parameter, alpha=0.001)

    def _draw(self, labels: Tensor) -> Tensor:
        images: Tensor = self.generator(torch.randn(len(labels), self._latent_dim), labels)
        return images


class PlainDcganGenerator(nn.Module):
    """100 → 7×7×256 → 128 → 64 → 28×28."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(100, 256 * 49, bias=False), nn.Unflatten(1, (256, 7, 7)), nn.BatchNorm2d(256), nn.ReLU(),
            nn.ConvTranspose2d(256, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, channels, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, latents: Tensor, _labels: Tensor) -> Tensor:
        """float ``[n, 100]`` to ``[n, C, 28, 28]``."""
        images: Tensor = self.layers(latents)
        return images


class PlainDcganDiscriminator(nn.Module):
    """28×28 → 14×14×64 → 7×7×128 → 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(128 * 49, 1), nn.Flatten(0),
        )  # fmt: skip

    def forward(self, images: Tensor, _labels: Tensor) -> Tensor:
        """``[n, C, 28, 28]`` to logits ``[n]``."""
        logits: Tensor = self.layers(images)
        return logits


class PlainResnetGenerator(nn.Module):
    """Miyato et al. 2018, table 4, with conditional batch norm: 128 + 16 → 4×4 → 32×32 in three blocks."""

    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(classes, 16)
        self.linear = nn.Linear(128 + 16, width * 16)
        self.blocks = nn.ModuleList(_UpBlock(width, classes) for _ in range(3))
        self.norm = _ConditionalNorm(width, classes)
        self.to_image = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, 128]`` and int64 ``[n]`` to ``[n, C, 32, 32]``."""
        hidden = self.linear(torch.cat([latents, self.embed(labels)], 1)).unflatten(1, (-1, 4, 4))
        for block in self.blocks:
            hidden = block(hidden, labels)
        return torch.tanh(self.to_image(F.relu(self.norm(hidden, labels))))


class PlainResnetDiscriminator(nn.Module):
    """Miyato et al. 2018, table 4, spectral norm and projection: 32×32 → 16×16 → 8×8, two more blocks, sum."""

    def __init__(self, width: int, channels: int, classes: int) -> None:
        super().__init__()
        halves = [_DownBlock(channels, width, halves=True, first=True), _DownBlock(width, width, halves=True)]
        self.blocks = nn.Sequential(*halves, *(_DownBlock(width, width, halves=False) for _ in range(2)))
        self.output = spectral_norm(nn.Linear(width, 1))
        self.project = spectral_norm(nn.Embedding(classes, width))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """``[n, C, 32, 32]`` and int64 ``[n]`` to logits ``[n]``."""
        features = F.relu(self.blocks(images)).sum((2, 3))
        logits: Tensor = self.output(features).squeeze(1) + (self.project(labels) * features).sum(1)
        return logits


class _ConditionalNorm(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.scale, self.shift = nn.Embedding(classes, width), nn.Embedding(classes, width)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        scale, shift = self.scale(labels)[:, :, None, None], self.shift(labels)[:, :, None, None]
        result: Tensor = self.norm(images) * scale + shift
        return result


class _UpBlock(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _ConditionalNorm(width, classes), _ConditionalNorm(width, classes)
        self.conv1, self.conv2 = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.shortcut, self.up = nn.Conv2d(width, width, 1), nn.Upsample(scale_factor=2)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        hidden = self.conv1(self.up(F.relu(self.norm1(images, labels))))
        result: Tensor = self.conv2(F.relu(self.norm2(hidden, labels))) + self.shortcut(self.up(images))
        return result


class _DownBlock(nn.Module):
    def __init__(self, before: int, after: int, *, halves: bool, first: bool = False) -> None:
        super().__init__()
        self._halves, self._first = halves, first
        self.conv1 = spectral_norm(nn.Conv2d(before, after, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(after, after, 3, padding=1))
        self.shortcut = spectral_norm(nn.Conv2d(before, after, 1)) if halves else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv2(F.relu(self.conv1(images if self._first else F.relu(images))))
        if not self._halves:
            result: Tensor = hidden + images
            return result
        return F.avg_pool2d(hidden, 2) + F.avg_pool2d(self.shortcut(images), 2)

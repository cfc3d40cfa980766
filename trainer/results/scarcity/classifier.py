"""The classifier of the study of scarcity: a small convolutional network, as many steps for every arm."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from runtime.atomic import write_atomic
from trainer.data import ImageSpec, LabelledImages
from trainer.results.scarcity.images import CLASSIC, to_input

BATCH, RATE = 64, 2e-3
_WIDTHS, _FEATURES = (16, 32), 64
_CHUNK = 1000


@dataclass(frozen=True)
class Added:
    """Images beside the real ones.

    Attributes:
        share: of each batch, 0 … 1.
    """

    images: LabelledImages
    share: float


class Classifier(nn.Module):
    """Two 3×3 convolutions, each with ReLU and halving, then 64 numbers, then one logit per class."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        first, second = _WIDTHS
        self.layers = nn.Sequential(
            nn.Conv2d(spec.channels, first, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Conv2d(first, second, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True),
            nn.Flatten(),
            nn.Linear(second * -(-spec.height // 4) * -(-spec.width // 4), _FEATURES), nn.ReLU(),
            nn.Linear(_FEATURES, spec.classes),
        )  # fmt: skip
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, to logits ``[n, classes]``."""
        logits: Tensor = self.layers(images.to(memory_format=torch.channels_last))
        return logits

    @torch.no_grad()
    def probabilities(self, images: NDArray[np.uint8]) -> Tensor:
        """Of each class, float ``[n, classes]``, for uint8 ``[n, H, W, C]``."""
        chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
        return torch.cat([F.softmax(self(to_input(chunk)), dim=1) for chunk in chunks])

    def accuracy(self, data: LabelledImages) -> float:
        """Share of images recognised as their label, 0 … 1."""
        return float((self.probabilities(data.images).argmax(1).numpy() == data.labels).mean())


def train_classifier(real: LabelledImages, added: Added | None, *, classic: bool, steps: int, seed: int) -> Classifier:
    """Cross-entropy, Adam and one cycle of the learning rate, on one thread.

    Draws from PyTorch's global generator, which it seeds and puts back.

    Args:
        classic: change every image of every batch by the classic augmentation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = Classifier(real.spec)
        optimizer = torch.optim.Adam(classifier.parameters(), RATE, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
        extra_rows = min(BATCH - 1, round(BATCH * added.share)) if added else 0
        sources = [(_Rows(real), BATCH - extra_rows)]
        if added and extra_rows:
            sources.append((_Rows(added.images), extra_rows))
        for _ in range(steps):
            images, targets = zip(*(source.draw(n, classic) for source, n in sources), strict=True)
            loss = F.cross_entropy(classifier(torch.cat(images)), torch.cat(targets))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return classifier.eval()


class _Rows:
    """Images that batches are drawn from."""

    def __init__(self, data: LabelledImages) -> None:
        self._images = torch.from_numpy(data.images)
        self._labels = torch.from_numpy(data.labels)

    def draw(self, n: int, classic: bool) -> tuple[Tensor, Tensor]:
        """`n` images at random and their labels."""
        rows = torch.randint(len(self._images), (n,))
        images = to_input(self._images[rows].numpy())
        return CLASSIC.apply(images) if classic else images, self._labels[rows]


def write_classifier(path: Path, classifier: Classifier) -> None:
    """Keep the weights in `path`."""
    buffer = io.BytesIO()
    torch.save(classifier.state_dict(), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def read_classifier(path: Path, spec: ImageSpec) -> Classifier:
    """The classifier that `path` keeps."""
    classifier = Classifier(spec)
    classifier.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return classifier.eval()

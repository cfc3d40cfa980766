"""The judge: a small convolutional classifier trained on the real training images, for features and labels.

Its weights are a function of the images and a fixed seed; they are kept in a file named by the images'
fingerprint, so that every recipe on the same data is judged by the same network.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from runtime.atomic import write_atomic
from trainer.data.images import DataSplit, LabelledImages
from trainer.errors import RunError
from trainer.progress import watched

FEATURES = 64
_SEED = 20_201
_BATCH = 128
_STEPS_LEAST, _EPOCHS = 1500, 4
_RATE = 2e-3


class JudgeNetwork(nn.Module):
    """Two strided convolutions per halving of the image, then `FEATURES` numbers, then one logit per class."""

    def __init__(self, channels: int, height: int, width: int, classes: int) -> None:
        super().__init__()
        widths = (channels, 32, 64)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.features = nn.Linear(64 * -(-height // 4) * -(-width // 4), FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in 0 … 1, float ``[n, C, H, W]``, to features ``[n, 64]`` and logits ``[n, classes]``."""
        features = F.relu(self.features(self.body(images)))
        return features, self.head(features)


class Judge:
    """A trained `JudgeNetwork`, always in eval mode."""

    def __init__(self, network: JudgeNetwork) -> None:
        self._network = network.eval().requires_grad_(False)

    @cached_property
    def sha256(self) -> str:
        """Of its weights, by name: equal for judges that judge equally."""
        digest = hashlib.sha256()
        for name, weights in sorted(self._network.state_dict().items()):
            digest.update(f"{name} {list(weights.shape)} ".encode())
            digest.update(weights.contiguous().numpy().astype("<f4").tobytes())
        return digest.hexdigest()

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features float32 ``[n, 64]`` of images uint8 ``[n, H, W, C]``."""
        return self._run(images)[0]

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The class of each image, int64 ``[n]``."""
        labels: NDArray[np.int64] = self._run(images)[1].argmax(1)
        return labels

    def accuracy(self, data: LabelledImages) -> float:
        """Share of images recognised as their label, 0 … 1."""
        return float((self.predict(data.images) == data.labels).mean())

    @torch.no_grad()
    def _run(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        parts = [self._network(_as_input(torch.from_numpy(part))) for part in _chunks(images)]
        features, logits = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        return features, logits


def trained_judge(data: DataSplit, folder: Path) -> Judge:
    """The judge of `data`'s training images, from `folder` where it is kept, else trained and kept there.

    Raises:
        RunError: the kept file is damaged.
    """
    path = folder / f"judge-{data.fingerprint()[:16]}.pt"
    network = _network(data.train)
    if path.exists():
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises many kinds
            raise RunError(f"{path}: not the weights of a judge; remove the file") from error
        return Judge(network)
    train_network(network, data.train)
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    write_atomic(path, buffer.getvalue())
    return Judge(network)


def fit_judge(data: LabelledImages) -> Judge:
    """A judge of any labelled images, kept nowhere."""
    network = _network(data)
    train_network(network, data)
    return Judge(network)


def train_network(network: JudgeNetwork, data: LabelledImages) -> None:
    """Cross-entropy, Adam, one cycle of the learning rate; random numbers of its own, so that nobody else's move."""
    images = torch.from_numpy(data.images)
    labels = torch.from_numpy(data.labels)
    steps = max(_STEPS_LEAST, _EPOCHS * len(data) // _BATCH)
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    random = torch.Generator().manual_seed(_SEED)
    network.train()
    with _one_thread():
        for _ in watched(range(steps), "training a judge"):
            rows = torch.randint(0, len(data), (_BATCH,), generator=random)
            loss = F.cross_entropy(network(_as_input(images[rows]))[1], labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    network.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Steps this short lose more to a second thread on a busy machine than they gain on an idle one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _network(data: LabelledImages) -> JudgeNetwork:
    spec = data.spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return JudgeNetwork(spec.channels, spec.height, spec.width, spec.classes)


def _as_input(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float().div_(255)


def _chunks(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [images[start : start + 1000] for start in range(0, len(images), 1000)] or [images]

"""How true a compressed generator stays to the one it was made from and to real images, and the bars it is held to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from runtime.manifest import AgainstReal, Parity, Requirement
from trainer.config import Config
from trainer.data import DataSplit
from trainer.evaluation.classifier import Classifier
from trainer.evaluation.feature_choice import default_choice, open_eyes
from trainer.evaluation.features import Features, PcaFeatures
from trainer.evaluation.frechet import Gaussian, fit_gaussian, frechet_distance
from trainer.parity import Sampler, compare
from trainer.probes import Probe
from trainer.progress import watched

_BATCH = 100
_REAL_IMAGES = 10_000
_TAUGHT_WITH = 2_000


class BarsConfig(Config):
    """What a compressed generator must reach to be published."""

    min_psnr_db: float = Field(default=20.0, ge=0)
    """Least signal-to-noise ratio against the images it was made from."""

    max_frechet_increase: float = Field(default=0.1, ge=0)
    """By how much its Fréchet distance to real images may be larger, as a share; judged where these are at hand."""

    max_accuracy_loss: float = Field(default=0.01, ge=0, le=1)
    """How many more of its images, as a share of all, may not be read as their label; likewise."""

    def judge(self, parity: Parity) -> list[Requirement]:
        """Every bar that could be measured, met or missed."""
        psnr = parity.psnr_db  # none where nothing differs
        found = [
            Requirement(
                expression=f"psnr_db>={self.min_psnr_db:g}", value=psnr, met=psnr is None or psnr >= self.min_psnr_db
            )
        ]
        if parity.real is None:
            return found
        increase = frechet_increase(parity.real)
        expression = f"frechet_increase<={self.max_frechet_increase:g}"
        found.append(Requirement(expression=expression, value=increase, met=increase <= self.max_frechet_increase))
        loss = accuracy_loss(parity.real)
        if loss is not None:
            expression = f"accuracy_loss<={self.max_accuracy_loss:g}"
            found.append(Requirement(expression=expression, value=loss, met=loss <= self.max_accuracy_loss))
        return found


def frechet_increase(real: AgainstReal) -> float:
    """By which share the distance to real images is larger than the reference's; below zero where it is smaller."""
    return real.frechet_distance / max(real.reference_frechet_distance, 1e-9) - 1


def accuracy_loss(real: AgainstReal) -> float | None:
    """Label accuracy of the reference less that of the compressed generator; None where there is none."""
    if real.label_accuracy is None or real.reference_label_accuracy is None:
        return None
    return real.reference_label_accuracy - real.label_accuracy


@dataclass(frozen=True)
class RealSide:
    """Real images, looked at once.

    Attributes:
        name: of the features, for people.
        reader: None where there are no classes.
    """

    name: str
    features: Features
    gaussian: Gaussian
    images: int
    reader: Classifier | None


def look_at_real(data: DataSplit, cache: Path) -> RealSide:
    """The real side of every comparison: in features of a judge where there are labelled stills, else of pixels.

    Args:
        cache: where judges are kept.
    """
    eyes = open_eyes(default_choice(data), data, cache, _TAUGHT_WITH)
    real = data.train.at_most(_REAL_IMAGES).images
    return RealSide(eyes.name, eyes.features, fit_gaussian(eyes.features(real)), len(real), eyes.reader)


def measure_fidelity(
    other: Sampler,
    reference: Sampler,
    probe: Probe,
    real: RealSide | None,
    against: Literal["fp32", "parent"],
) -> Parity:
    """Images of two graphs on the same latents and labels: against each other, and each against real ones.

    Without real images the features are principal components of the reference's pixels.
    """
    expected, found = draw(reference, probe, "reference"), draw(other, probe, "compressed")
    features = real.features if real is not None else PcaFeatures(expected)
    ours, theirs = (fit_gaussian(features(images)) for images in (found, expected))
    return compare(found, expected, against).model_copy(
        update={
            "frechet_distance": frechet_distance(ours, theirs),
            "features": "pixels of the reference" if real is None else real.name,
            "real": None if real is None else _against_real(real, (found, ours), (expected, theirs), probe),
        }
    )


def draw(session: Sampler, probe: Probe, what: str) -> NDArray[np.uint8]:
    """Images of every row of `probe`, uint8 ``[n, …]``."""
    starts = watched(range(0, len(probe.labels), _BATCH), f"images, {what}")
    return np.concatenate(
        [session(probe.latents[at : at + _BATCH], probe.labels[at : at + _BATCH], batch=_BATCH) for at in starts]
    )


_Seen = tuple[NDArray[np.uint8], Gaussian]


def _against_real(real: RealSide, ours: _Seen, theirs: _Seen, probe: Probe) -> AgainstReal:
    return AgainstReal(
        images=real.images,
        frechet_distance=frechet_distance(ours[1], real.gaussian),
        reference_frechet_distance=frechet_distance(theirs[1], real.gaussian),
        label_accuracy=_accuracy(real, ours[0], probe),
        reference_label_accuracy=_accuracy(real, theirs[0], probe),
    )


def _accuracy(real: RealSide, images: NDArray[np.uint8], probe: Probe) -> float | None:
    if real.reader is None or not probe.conditional:
        return None
    return float((real.reader.predict(images) == probe.labels).mean())

"""Distances between two generators, and the bars they are held to."""

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.manifest import AgainstReal, Parity
from trainer.compress.fidelity import BarsConfig, RealSide, accuracy_loss, frechet_increase, measure_fidelity
from trainer.evaluation.features import PcaFeatures
from trainer.evaluation.frechet import fit_gaussian
from trainer.probes import draw_probe

PROBE = draw_probe(0, 200, 4, 2)


class Painter:
    """Images whose brightness follows from latents and label, with something added."""

    def __init__(self, added: int = 0) -> None:
        self._added = added

    def __call__(self, latents: NDArray[np.float32], labels: NDArray[np.int64], batch: int = 100) -> NDArray[np.uint8]:
        assert len(latents) <= batch
        levels = 100 + 20 * latents[:, :1] + 30 * labels[:, None] + self._added
        return np.repeat(np.clip(levels, 0, 255).astype(np.uint8), 16, axis=1).reshape(-1, 4, 4, 1)


class Reader:
    """Reads bright images as class 1."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (images.reshape(len(images), -1).mean(1) > 115).astype(np.int64)
        return found


def real_side() -> RealSide:
    images = Painter()(PROBE.latents[:100], PROBE.labels[:100])
    features = PcaFeatures(images, components=1)
    return RealSide("brightness", features, fit_gaussian(features(images)), 100, Reader())


def test_equal_generators_do_not_differ() -> None:
    parity = measure_fidelity(Painter(), Painter(), PROBE, None, "fp32")
    assert parity.psnr_db is None
    assert parity.frechet_distance == pytest.approx(0, abs=1e-6)
    assert parity.real is None


def test_a_shift_shows_in_every_measure() -> None:
    parity = measure_fidelity(Painter(10), Painter(), PROBE, real_side(), "parent")
    assert parity.against == "parent"
    assert parity.psnr_db == pytest.approx(20 * np.log10(255 / 10), abs=0.2)
    assert parity.frechet_distance == pytest.approx(16 * (10 / 255) ** 2, rel=0.1)
    assert parity.features == "brightness"
    assert parity.real is not None
    assert parity.real.frechet_distance > parity.real.reference_frechet_distance
    assert parity.real.label_accuracy is not None and parity.real.reference_label_accuracy is not None
    assert parity.real.label_accuracy < parity.real.reference_label_accuracy


def parity_of(psnr: float | None, frechet: float = 1.0, accuracy: float | None = 0.9) -> Parity:
    real = AgainstReal(
        images=10, frechet_distance=frechet, reference_frechet_distance=1.0,
        label_accuracy=accuracy, reference_label_accuracy=None if accuracy is None else 0.9,
    )  # fmt: skip
    return Parity(against="fp32", images=10, max_abs=1, mean_abs=0.1, psnr_db=psnr, real=real)


@pytest.mark.parametrize(
    ("parity", "missed"),
    [
        (parity_of(30.0), []),
        (parity_of(None), []),
        (parity_of(29.9), ["psnr_db>=30"]),
        (parity_of(40.0, frechet=1.11), ["frechet_increase<=0.1"]),
        (parity_of(40.0, frechet=0.5), []),
        (parity_of(40.0, accuracy=0.88), ["accuracy_loss<=0.01"]),
        (parity_of(40.0, accuracy=None), []),
        (parity_of(10.0, 2.0, 0.0), ["psnr_db>=30", "frechet_increase<=0.1", "accuracy_loss<=0.01"]),
    ],
)
def test_bars(parity: Parity, missed: list[str]) -> None:
    found = BarsConfig(min_psnr_db=30).judge(parity)
    assert [each.expression for each in found if not each.met] == missed


def test_without_real_images_there_is_one_bar() -> None:
    parity = Parity(against="fp32", images=10, max_abs=1, mean_abs=0.1, psnr_db=5.0)
    assert [(each.expression, each.met) for each in BarsConfig().judge(parity)] == [("psnr_db>=20", False)]


def test_increase_and_loss() -> None:
    real = parity_of(30.0, frechet=1.25, accuracy=0.85).real
    assert real is not None
    assert frechet_increase(real) == pytest.approx(0.25)
    assert accuracy_loss(real) == pytest.approx(0.05)

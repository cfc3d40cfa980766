"""Generators that replay their training images are told from those that do not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.manifest import Measurement
from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.evaluation.distances import nearest_images
from trainer.evaluation.memorisation import Memory, chance_of_nearness, signs_of_copying


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    """The built-in digits, half of what is held out kept back."""
    whole = open_data(DataConfig())
    held_out = whole.held_out.subset(np.arange(0, len(whole.held_out), 2))
    return DataSplit(whole.source, whole.train, held_out)


@pytest.fixture(scope="module")
def unseen() -> LabelledImages:
    """Real images that are neither in training nor held out: what an ideal generator draws."""
    held_out = open_data(DataConfig()).held_out
    return held_out.subset(np.arange(1, len(held_out), 2))


@pytest.fixture(scope="module")
def memory(digits: DataSplit) -> Memory:
    return Memory(digits)


def shifted(images: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-levels, levels + 1, images.shape)
    moved: NDArray[np.uint8] = np.clip(images + noise, 0, 255).astype(np.uint8)
    return moved


def signs(memory: Memory, images: NDArray[np.uint8]) -> list[str]:
    found = memory.closeness(images)
    near, nearer, exact = (
        Measurement(value=float(getattr(found, part).mean()), samples=1, real=float(getattr(memory.floor, part).mean()))
        for part in ("near", "nearer_to_training", "exact")
    )
    return signs_of_copying(near, nearer, exact)


def test_replayed_training_images_are_exact_copies(memory: Memory, digits: DataSplit) -> None:
    replayed = digits.train.images[::3]
    found = memory.closeness(replayed)
    assert found.exact.all() and found.near.all()
    assert (found.nearest.distances == 0).all()
    assert any("pixel by pixel" in sign for sign in signs(memory, replayed))


def test_replayed_images_with_noise_are_near_copies(memory: Memory, digits: DataSplit) -> None:
    found = memory.closeness(shifted(digits.train.images[::3], 12))
    assert found.exact.sum() == 0
    assert found.near.mean() > 0.9
    assert any("99 %" in sign for sign in signs(memory, shifted(digits.train.images[::3], 12)))


def test_one_copy_in_ten_is_enough(memory: Memory, digits: DataSplit, unseen: LabelledImages) -> None:
    mixed = np.concatenate([unseen.images, shifted(digits.train.images[:20], 12)])
    assert memory.closeness(mixed).near.sum() >= 18
    assert signs(memory, mixed)


def test_new_real_images_pass(memory: Memory, unseen: LabelledImages) -> None:
    found = memory.closeness(unseen.images)
    assert found.exact.sum() == 0
    assert found.near.mean() < 0.05
    assert found.nearer_to_training.mean() == pytest.approx(0.5, abs=0.1)
    assert signs(memory, unseen.images) == []


def test_the_floor_is_that_of_real_images(memory: Memory) -> None:
    assert memory.floor.near.mean() <= 0.02
    assert memory.floor.nearer_to_training.mean() == pytest.approx(0.5, abs=0.15)


def test_held_out_images_that_are_in_training_too_are_no_reproach(digits: DataSplit) -> None:
    doubled = DataSplit("doubled", digits.train, digits.train.at_most(200))
    assert signs(Memory(doubled), digits.train.images[:100]) == []


def test_tiny_and_constant_sets() -> None:
    def images(n: int) -> LabelledImages:
        return LabelledImages(np.full((n, 4, 4, 1), 9, np.uint8), np.zeros(n, np.int64), ())

    found = Memory(DataSplit("x", images(2), images(1))).closeness(images(3).images)
    assert found.exact.tolist() == [1, 1, 1]
    assert found.nearer_to_training.tolist() == [0.5, 0.5, 0.5]


def test_nearest_images_agree_with_the_plain_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.evaluation import distances

    random = np.random.default_rng(0)
    images, references = (random.integers(0, 256, (n, 3, 3, 1), dtype=np.uint8) for n in (23, 40))
    monkeypatch.setattr(distances, "_CHUNK", 5)
    monkeypatch.setattr(distances, "_REFERENCES", 7)
    found = nearest_images(images, references)
    flat = [part.reshape(len(part), -1) / 255 for part in (images, references)]
    plain = np.linalg.norm(flat[0][:, None] - flat[1][None], axis=2)
    assert found.rows.tolist() == plain.argmin(1).tolist()
    np.testing.assert_allclose(found.distances, plain.min(1), atol=1e-6)


def test_what_real_images_score_by_chance_is_no_sign() -> None:
    none = Measurement(value=0.0, samples=64, real=0.0)
    for real, expected in ((0.5, 1), (0.75, 0)):  # a dozen held-out images may all lie far from the others
        nearer = Measurement(value=0.72, samples=64, real=real, interval=(0.65, 0.79))
        assert len(signs_of_copying(none, nearer, none)) == expected


def test_where_few_images_decide_for_all_samples_chance_explains_much() -> None:
    assert chance_of_nearness(np.zeros(500, np.int64)) == 0.5  # one outlier, in either set by chance
    assert chance_of_nearness(np.arange(500)) == pytest.approx(0.5 / 500**0.5)
    assert chance_of_nearness(np.arange(400) % 40) == pytest.approx(0.5 / 40**0.5)


def test_samples_far_from_all_images_are_no_copies_and_noisy_copies_of_a_small_set_are(digits: DataSplit) -> None:
    train, held_out = digits.train.subset(np.arange(160)), digits.held_out.subset(np.arange(40))
    memory = Memory(DataSplit("small", train, held_out))

    def lowest(images: NDArray[np.uint8]) -> float:
        found = memory.closeness(images)
        return float(found.nearer_to_training.mean() - 1.96 * chance_of_nearness(found.nearest_of_both))

    assert lowest(255 - digits.train.images[200:700]) < 0.6
    assert lowest(shifted(np.repeat(train.images, 4, axis=0), 60)) > 0.6

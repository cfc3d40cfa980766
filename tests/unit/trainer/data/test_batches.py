"""One contract over images in memory and images in a file: the same batches in the same order."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.data.batches import Batches, MappedBatches, ResidentBatches, make_batches
from trainer.data.images import LabelledImages
from trainer.data.order import DataOrder

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(23, dtype=np.int64) % 7
CPU = torch.device("cpu")
WHOLE = slice(None)


@pytest.fixture(params=["memory", "file"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> LabelledImages:
    images = IMAGES
    if request.param == "file":
        np.save(tmp_path / "images.npy", IMAGES)
        images = np.load(tmp_path / "images.npy", mmap_mode="r")
    return LabelledImages(images, LABELS, tuple("abcdefg"))


def batches(data: LabelledImages, part: slice = WHOLE) -> Batches:
    """Batches of ten, in an order of a seed of its own."""
    return make_batches(data, DataOrder(len(data), seed=3), 10, CPU, part)


def test_the_kind_follows_the_images(data: LabelledImages) -> None:
    mapped = isinstance(data.images, np.memmap)
    assert isinstance(batches(data), MappedBatches if mapped else ResidentBatches)


def test_batches_hold_the_rows_of_the_order_over_many_epochs(data: LabelledImages) -> None:
    found, order = batches(data), DataOrder(23, seed=3)
    for _ in range(12):
        rows = order.next(10).numpy()
        images, labels = found.next()
        assert images.dtype == torch.uint8
        assert np.array_equal(images.numpy(), IMAGES[rows].transpose(0, 3, 1, 2))
        assert np.array_equal(labels.numpy(), LABELS[rows])


def test_parts_of_processes_make_up_the_batch(data: LabelledImages) -> None:
    whole, halves = batches(data), [batches(data, slice(0, 5)), batches(data, slice(5, 10))]
    for _ in range(3):
        assert torch.equal(torch.cat([half.next()[0] for half in halves]), whole.next()[0])


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_state_is_that_after_the_last_batch_taken(data: LabelledImages, taken: int) -> None:
    found, resumed = batches(data), batches(data)
    for _ in range(taken):
        found.next()
    resumed.next()
    resumed.load_state_dict(found.state_dict())
    for _ in range(4):
        assert torch.equal(found.next()[0], resumed.next()[0])
    assert found.state_dict() == resumed.state_dict()


def test_nothing_is_drawn_from_the_sequence_of_training(data: LabelledImages) -> None:
    found, before = batches(data), torch.get_rng_state()
    found.next()
    assert torch.equal(torch.get_rng_state(), before)

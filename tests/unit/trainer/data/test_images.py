"""The split into training and held-out images, the fingerprint, and the order of images."""

import dataclasses

import numpy as np
import pytest

from trainer.data import DataConfig, LabelledImages, open_data
from trainer.data.images import stratified_split
from trainer.data.order import DataOrder
from trainer.errors import DataError


def numbered(counts: list[int]) -> LabelledImages:
    """Images that carry their own number, with so many per class."""
    total = sum(counts)
    images = np.arange(total, dtype=np.uint8).reshape(total, 1, 1, 1)
    return LabelledImages(images, np.repeat(np.arange(len(counts)), counts), tuple("abcdef"[: len(counts)]))


def test_split_is_stratified_complete_and_disjoint() -> None:
    split = stratified_split("x", numbered([10, 20, 50]), 0.2, seed=0)
    assert np.bincount(split.held_out.labels).tolist() == [2, 4, 10]
    both = np.concatenate([split.train.images, split.held_out.images]).ravel()
    assert sorted(both.tolist()) == list(range(80))


def test_split_depends_on_its_seed_alone() -> None:
    first, again, other = (stratified_split("x", numbered([30, 30]), 0.2, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.held_out.images, again.held_out.images)
    assert not np.array_equal(first.held_out.images, other.held_out.images)


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_both_sides_get_an_image_of_each_class(share: float) -> None:
    split = stratified_split("x", numbered([2, 3]), share, seed=0)
    assert set(split.train.labels) == set(split.held_out.labels) == {0, 1}


def test_a_class_of_one_is_refused() -> None:
    with pytest.raises(DataError, match="x: 'b' has 1 image, at least 2 are needed"):
        stratified_split("x", numbered([5, 1]), 0.2, seed=0)


def test_digits_are_the_default() -> None:
    data = open_data(DataConfig())
    assert data.train.images.shape[1:] == (8, 8, 1)
    assert len(data.train) + len(data.held_out) == 1797
    assert 0.19 < len(data.held_out) / 1797 < 0.21
    assert (data.train.images.min(), data.train.images.max()) == (0, 255)


def test_fingerprint_sees_pixels_labels_and_names() -> None:
    data = stratified_split("x", numbered([10, 20]), 0.2, seed=0)
    train = data.train
    for changed in (
        LabelledImages(train.images + np.uint8(1), train.labels, train.class_names),
        LabelledImages(train.images, 1 - train.labels, train.class_names),
        LabelledImages(train.images, train.labels, ("a", "z")),
    ):
        assert dataclasses.replace(data, train=changed).fingerprint() != data.fingerprint()
    assert dataclasses.replace(data, source="elsewhere").fingerprint() == data.fingerprint()


def test_order_visits_every_image_once_per_epoch() -> None:
    order = DataOrder(10, seed=3)
    visited = [int(index) for _ in range(5) for index in order.next(4)]
    assert sorted(visited[:10]) == sorted(visited[10:]) == list(range(10))
    assert visited[:10] != visited[10:]


def test_order_takes_batches_larger_than_the_set() -> None:
    assert np.bincount(DataOrder(3, seed=0).next(9).numpy()).tolist() == [3, 3, 3]


def test_order_goes_on_where_it_was_saved() -> None:
    order, resumed = DataOrder(10, seed=3), DataOrder(10, seed=3)
    order.next(17)
    resumed.load_state_dict(order.state_dict())
    assert order.next(25).tolist() == resumed.next(25).tolist()


def test_order_depends_on_the_seed() -> None:
    assert DataOrder(50, seed=0).next(50).tolist() != DataOrder(50, seed=1).next(50).tolist()

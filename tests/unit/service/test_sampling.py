"""What is refused and with which words, and how what is accepted becomes rows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.latents import MAX_SEED, labels_from_seeds
from runtime.manifest import Manifest
from service.errors import DeadlineExceeded, InvalidRequest
from service.sampling import SampleRequest, build_rows, check_priority, check_timeout

LIMIT = 16
ONES = np.ones((2, 16), dtype=np.float32)


def with_nan() -> Any:
    latents = ONES.copy()
    latents[1, 3] = np.nan
    return latents


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"n": 0}, "n", "n: got 0; allowed: an integer from 1 to 16"),
        ({"n": -1}, "n", "n: got -1; allowed: an integer from 1 to 16"),
        ({"n": 17}, "n", "n: got 17; allowed: an integer from 1 to 16"),
        ({"n": 10**30}, "n", f"n: got {10**30}; allowed: an integer from 1 to 16"),
        ({"seed": -1}, "seed", f"seed: got -1; allowed: integers from 0 to {MAX_SEED} (2^53 - 1)"),
        ({"seed": MAX_SEED + 1}, "seed", f"seed: got {MAX_SEED + 1}; allowed: integers from 0 to {MAX_SEED}"),
        (
            {"seed": MAX_SEED, "n": 2},
            "seed",
            f"seed: got {MAX_SEED}; allowed: at most {MAX_SEED - 1} for 2 images: row i has seed + i",
        ),
        ({"seeds": [1, -2]}, "seeds", "seeds: got -2; allowed: integers from 0 to"),
        ({"seeds": [MAX_SEED + 1]}, "seeds", f"seeds: got {MAX_SEED + 1}; allowed: integers from 0 to"),
        ({"seeds": []}, "seeds", "seeds: got 0 rows; allowed: 1 to 16"),
        ({"seeds": [1] * 17}, "seeds", "seeds: got 17 rows; allowed: 1 to 16"),
        ({"seeds": [1, 2], "n": 3}, "n", "n: got 3; allowed: 2, the number of seeds, or leave it out"),
        ({"seeds": [1], "seed": 1}, "seeds", "seed, seeds: got all of them; allowed: one of them"),
        ({"latents": ONES, "seed": 1}, "latents", "seed, latents: got all of them; allowed: one of them"),
        ({"latents": ONES, "seeds": [1, 2]}, "latents", "seeds, latents: got all of them; allowed: one of them"),
        (
            {"latents": ONES[:, :5], "labels": [0]},
            "latents",
            "latents: got shape [2, 5]; allowed: [n, 16] for tiny@1",
        ),
        ({"latents": with_nan(), "labels": [0]}, "latents[1][3]", "latents[1][3]: got nan; allowed: finite numbers"),
        ({"latents": ONES * np.inf, "labels": [0]}, "latents[0][0]", "latents[0][0]: got inf; allowed: finite numbers"),
        ({"latents": ONES}, "labels", "labels: got None; allowed: one per latent or one for all: class names 0, 1, 2"),
        ({"labels": [10]}, "labels", "labels: got 10; allowed: class names 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, or indices 0"),
        ({"labels": [-1]}, "labels", "labels: got -1; allowed: class names"),
        ({"labels": ["cat"]}, "labels", "labels: got 'cat'; allowed: class names 0, 1, 2"),
        ({"labels": [""]}, "labels", "labels: got ''; allowed: class names"),
        ({"labels": ["٣"]}, "labels", "labels: got '٣'; allowed: class names"),
        ({"labels": ["9" * 5000]}, "labels", "labels: got '9999"),
        ({"labels": [1, 2], "n": 3}, "labels", "labels: got 2 labels for 3 images; allowed: 1 or 3"),
        ({"truncation": 0.0}, "truncation", "truncation: got 0.0; allowed: a number above 0 and at most 1"),
        ({"truncation": 1.1}, "truncation", "truncation: got 1.1; allowed: a number above 0 and at most 1"),
        ({"truncation": -0.5}, "truncation", "truncation: got -0.5; allowed: a number above 0 and at most 1"),
        ({"truncation": float("nan")}, "truncation", "truncation: got nan; allowed: a number above 0"),
        (
            {"truncation": np.array([0.5, 2.0], np.float32), "n": 2},
            "truncation",
            "truncation: got 2.0; allowed: a number above",
        ),
        (
            {"truncation": np.array([0.5, 0.5], np.float32), "n": 3},
            "truncation",
            "truncation: got 2 values for 3 images; allowed",
        ),
    ],
)
def test_a_refused_field_is_named_with_its_value_and_what_is_allowed(
    fields: dict[str, Any], param: str, message: str, manifest: Manifest
) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        build_rows(SampleRequest(**fields), manifest, LIMIT)
    assert refusal.value.message.startswith(message)
    assert refusal.value.param == param
    assert len(refusal.value.message) < 300


def test_a_model_without_classes_takes_no_label(plain: Manifest) -> None:
    with pytest.raises(InvalidRequest, match=r"labels: got \[3\]; allowed: none: plain@1 has no classes"):
        build_rows(SampleRequest(labels=[3]), plain, LIMIT)
    assert build_rows(SampleRequest(labels=[]), plain, LIMIT).labels is None
    assert build_rows(SampleRequest(seed=1), plain, LIMIT).labels is None


def test_a_label_is_an_index_a_name_or_the_decimal_of_an_index(manifest: Manifest) -> None:
    named = manifest.model_copy(update={"classes": ["ant", "bee", "0"]})

    def index(label: int | str) -> int:
        rows = build_rows(SampleRequest(labels=[label]), named, LIMIT)
        assert rows.labels is not None
        return int(rows.labels[0])

    assert index(1) == 1
    assert index("bee") == 1
    assert index("1") == 1
    assert index("0") == 2, "a name goes before an index written in text"
    assert index(0) == 0


def test_many_classes_are_not_all_listed_in_a_message(manifest: Manifest) -> None:
    many = manifest.model_copy(update={"classes": [f"class{i}" for i in range(1000)]})
    with pytest.raises(InvalidRequest, match=r"class19, … \(1000 in all\), or indices 0 to 999$"):
        build_rows(SampleRequest(labels=["x"]), many, LIMIT)


@pytest.mark.parametrize("seed", [0, MAX_SEED - 3])
def test_the_ends_of_the_seed_range_are_allowed(seed: int, manifest: Manifest) -> None:
    rows = build_rows(SampleRequest(seed=seed, n=4), manifest, LIMIT)
    assert rows.seeds is not None
    assert rows.seeds.tolist() == [seed, seed + 1, seed + 2, seed + 3]


def test_one_image_is_the_default_and_its_seed_is_drawn(manifest: Manifest) -> None:
    drawn = [build_rows(SampleRequest(), manifest, LIMIT) for _ in range(3)]
    assert [rows.n for rows in drawn] == [1, 1, 1]
    seeds = {int(rows.seeds[0]) for rows in drawn if rows.seeds is not None}
    assert len(seeds) == 3
    assert max(seeds) <= MAX_SEED


def test_drawn_seeds_of_one_request_follow_each_other(manifest: Manifest) -> None:
    rows = build_rows(SampleRequest(n=LIMIT), manifest, LIMIT)
    assert rows.seeds is not None
    assert (np.diff(rows.seeds.astype(np.int64)) == 1).all()


def test_one_label_is_for_all_images(manifest: Manifest) -> None:
    rows = build_rows(SampleRequest(n=3, labels=["7"]), manifest, LIMIT)
    assert rows.labels is not None
    assert rows.labels.tolist() == [7, 7, 7]


def test_without_labels_each_row_takes_the_one_of_its_seed(manifest: Manifest) -> None:
    rows = build_rows(SampleRequest(seeds=[5, 99, 5]), manifest, LIMIT)
    assert rows.labels is not None
    assert rows.labels.tolist() == labels_from_seeds([5, 99, 5], 10).tolist()


def test_given_latents_are_the_rows(manifest: Manifest) -> None:
    rows = build_rows(SampleRequest(latents=ONES * np.array([[1], [2]], np.float32), labels=[1, 2]), manifest, LIMIT)
    assert rows.seeds is None
    assert rows.latents is not None
    assert rows.latents[:, 0].tolist() == [1, 2]


def test_one_truncation_is_for_all_images_or_one_for_each(manifest: Manifest) -> None:
    one = build_rows(SampleRequest(n=2, truncation=0.5), manifest, LIMIT)
    each = build_rows(SampleRequest(n=2, truncation=np.array([0.5, 1.0], np.float32)), manifest, LIMIT)
    assert one.truncation is not None
    assert each.truncation is not None
    assert one.truncation.tolist() == [0.5, 0.5]
    assert each.truncation.tolist() == [0.5, 1.0]
    assert build_rows(SampleRequest(n=2), manifest, LIMIT).truncation is None


@given(n=st.integers(-5, 40), seed=st.integers(-5, MAX_SEED + 5))
def test_either_every_row_has_a_valid_seed_or_the_request_is_refused(n: int, seed: int, manifest: Manifest) -> None:
    try:
        rows = build_rows(SampleRequest(n=n, seed=seed), manifest, LIMIT)
    except InvalidRequest:
        assert not (1 <= n <= LIMIT and 0 <= seed <= MAX_SEED + 1 - n)
        return
    assert rows.seeds is not None
    assert rows.seeds.tolist() == list(range(seed, seed + n))
    assert max(rows.seeds.tolist()) <= MAX_SEED


def test_priority_is_one_of_two_words() -> None:
    assert check_priority("interactive") == "interactive"
    assert check_priority("bulk") == "bulk"
    with pytest.raises(InvalidRequest, match="priority: got 'urgent'; allowed: interactive, bulk"):
        check_priority("urgent")


def test_a_timeout_is_at_most_the_servers() -> None:
    assert check_timeout(None, 30) == 30
    assert check_timeout(5, 30) == 5
    assert check_timeout(500, 30) == 30


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_deadline_that_has_passed_is_not_waited_for(value: float) -> None:
    with pytest.raises(DeadlineExceeded, match="had passed when it arrived"):
        check_timeout(value, 30)

"""Fresh seeds: who holds, and what is noise."""

import pytest

from trainer.search.confirmation import Confirmation, fresh_seeds


@pytest.mark.parametrize(
    ("default", "best", "objective", "holds"),
    [
        ((2.0, 2.2), (1.0, 1.2), "frechet", True),
        ((2.0, 2.2), (1.0, 1.2), "coverage", False),
        ((2.0,), (2.0,), "frechet", False),
        ((), (2.0,), "frechet", True),
        ((2.0,), (), "frechet", False),
    ],
)
def test_the_better_mean_holds(
    default: tuple[float, ...], best: tuple[float, ...], objective: "str", holds: bool
) -> None:
    assert Confirmation(7, default, best).holds("coverage" if objective == "coverage" else "frechet") is holds


def test_noise_is_less_than_two_standard_errors() -> None:
    # Each has a variance of 0.02 over two values, so the error of the difference is √0.02 = 0.1414.
    assert Confirmation(1, (2.0, 2.2), (1.8, 2.0)).within_noise
    assert not Confirmation(1, (2.0, 2.2), (1.7, 1.9)).within_noise
    assert Confirmation(1, (2.0,), (1.0,)).within_noise


def test_seeds_are_fresh_and_stay_in_range() -> None:
    assert fresh_seeds(5, 3) == (6, 7, 8)
    assert fresh_seeds(2**32 - 2, 2) == (2**32 - 1, 0)

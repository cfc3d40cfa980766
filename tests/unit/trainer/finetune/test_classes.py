"""Which classes come out, and which rows they begin with."""

import pytest

from trainer.errors import ConfigError
from trainer.finetune.classes import ClassPlan, plan_classes

TEN = tuple("0123456789")


def never(label: int) -> int:
    raise AssertionError(f"class {label} is known")


def test_the_same_classes_in_another_order_keep_their_rows() -> None:
    plan = plan_classes(("a", "b", "c"), ("c", "a", "b"), "merge", never)
    assert plan == ClassPlan(("a", "b", "c"), (0, 1, 2), (2, 0, 1))
    assert plan.without_images == ()
    assert plan.drawn_as() == (2, 0, 1)


def test_merging_keeps_classes_without_images_and_appends_new_ones() -> None:
    plan = plan_classes(TEN, ("3", "star", "7"), "merge", lambda label: {1: 4}[label])
    assert plan.names == (*TEN, "star")
    assert plan.sources == (*range(10), 4)
    assert plan.places == (3, 10, 7)
    assert plan.new == ("star",)
    assert plan.without_images == (0, 1, 2, 4, 5, 6, 8, 9)
    assert plan.drawn_as() == (3, 4, 7)
    assert "new: star (begins as 4)" in plan.describe(TEN)


def test_the_classes_of_the_images_alone() -> None:
    plan = plan_classes(TEN, ("7", "star"), "data", lambda _: 2)
    assert plan == ClassPlan(("7", "star"), (7, 2), (0, 1), ("star",))


def test_a_generator_without_classes_stays_without() -> None:
    plan = plan_classes((), ("cats", "dogs"), "merge", never)
    assert plan.names == ()
    assert plan.sources == (0,)
    assert plan.drawn_as() == (0, 0)
    assert plan_classes((), (), "merge", never).places == (0,)


def test_images_without_classes_are_refused_with_advice() -> None:
    with pytest.raises(ConfigError, match=r"PACKAGE has 10 \(0, 1, 2, …\).*--label NAME"):
        plan_classes(TEN, (), "merge", never)


def test_one_class_alone_is_refused_with_advice() -> None:
    with pytest.raises(ConfigError, match="classes=merge keeps"):
        plan_classes(TEN, ("7",), "data", never)

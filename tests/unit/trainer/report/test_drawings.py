"""Plots: where things lie, and that nothing leaves the picture."""

import re

import pytest

from runtime.manifest import Measurement
from trainer.evaluation.catalogue import CATALOGUE
from trainer.report.drawings import curve_drawing, figure, interval_drawing


def numbers(attribute: str, svg: str) -> list[float]:
    return [float(found) for found in re.findall(rf'\b{attribute}="(-?[\d.]+)"', svg)]


@pytest.mark.parametrize("name", list(CATALOGUE))
@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_an_interval_lies_around_its_value_and_within_the_picture(name: str, value: float) -> None:
    found = Measurement(value=value, samples=9, interval=(value - 0.1, value + 0.1), real=0.9, real_interval=(0.8, 1.0))
    drawing = interval_drawing(found, CATALOGUE[name])
    [at] = numbers("cx", drawing.svg)
    left, right = numbers("x1", drawing.svg)[-1], numbers("x2", drawing.svg)[-1]
    assert left < at < right
    assert drawing.low <= value <= drawing.high
    if CATALOGUE[name].high == 1:
        assert (drawing.low, drawing.high) == (0, 1)
    else:
        assert min(left, at) >= 0 and max(right, at) <= 300


def test_a_value_alone_is_drawn() -> None:
    drawing = interval_drawing(Measurement(value=0.0, samples=9), CATALOGUE["frechet_distance"])
    assert drawing.high > drawing.low
    assert "circle" in drawing.svg and "rect" not in drawing.svg


def test_a_curve_goes_from_left_to_right_and_up_for_more() -> None:
    drawing = curve_drawing([0, 50, 100], [1.0, 3.0, 2.0])
    [points] = re.findall(r'points="([^"]+)"', drawing.svg)
    across, down = zip(*((float(x), float(y)) for x, y in (pair.split(",") for pair in points.split())), strict=True)
    assert list(across) == sorted(across)
    assert down[1] < down[2] < down[0]
    assert (drawing.low, drawing.high) == (1, 3)
    assert "nan" not in curve_drawing([0, 1], [2.0, 2.0]).svg


@pytest.mark.parametrize(
    ("value", "text"), [(0.98765, "0.988"), (12345.6, "12,346"), (0.00012, "0.00012"), (-58.47, "-58.5"), (10, "10")]
)
def test_figures_are_short(value: float, text: str) -> None:
    assert figure(value) == text

"""What a load test found, as JSON and as a picture."""

import io
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from runtime import __version__
from service.client.latencies import duration, histogram, percentiles
from service.client.load import Load
from service.client.targets import Wanted

_SIZE = (1000, 520)
_BOX = (70, 90, 970, 450)  # left, top, right, bottom of the bars
_INK, _GREY, _BAR, _MARK = "#1a1a1a", "#d9d9d9", "#3b6ea8", "#c04a2b"
_MARKED = ("p50", "p95", "p99", "max")


def report(load: Load, wanted: Wanted, images_per_answer: int, **how: object) -> dict[str, Any]:
    """Everything of one load test, for `json.dumps`: seconds throughout, histogram with its edges.

    Args:
        how: address, transport, loop and its numbers.
    """
    found = histogram(load.latencies)
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "latentd": __version__,
        "client": {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()},
        "how": how,
        "request": asdict(wanted),
        "seconds": load.seconds,
        "answers": dict(sorted(load.outcomes.items())),
        "requests_per_second": load.rate,
        "images_per_second": load.rate * images_per_answer,
        "latency_seconds": percentiles(load.latencies),
        "histogram": {"edges_seconds": found.edges, "counts": found.counts},
    }


def plot(content: dict[str, Any]) -> bytes:
    """A PNG: the latency histogram on a logarithmic axis, with the percentiles that matter.

    Args:
        content: as `report` makes it.
    """
    image = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(22), ImageFont.load_default(15)
    how, rate = content["how"], content["requests_per_second"]
    draw.text((_BOX[0], 18), f"{how['transport']} {how['address']}, {how['loop']}", _INK, large)
    failed = sum(count for word, count in content["answers"].items() if word != "ok")
    line = (
        f"{rate:.1f} requests/s, {content['images_per_second']:.1f} images/s, "
        f"{content['answers'].get('ok', 0)} answers, {failed} failed, {content['seconds']:.1f} s"
    )
    draw.text((_BOX[0], 50), line, _INK, small)
    edges, counts = content["histogram"]["edges_seconds"], content["histogram"]["counts"]
    if counts:
        _draw_bars(draw, edges, counts, small)
        _draw_marks(draw, edges, content["latency_seconds"], small)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _across(edges: list[float], seconds: float) -> float:
    """Where a latency lies on the axis."""
    low, high = np.log10(edges[0]), np.log10(edges[-1])
    return float(_BOX[0] + (np.log10(seconds) - low) / (high - low) * (_BOX[2] - _BOX[0]))


def _draw_bars(draw: ImageDraw.ImageDraw, edges: list[float], counts: list[int], font: Any) -> None:
    left, top, right, bottom = _BOX
    for part in (0.0, 0.5, 1.0):
        level = bottom - part * (bottom - top)
        draw.line((left, level, right, level), _GREY)
        draw.text((left - 8, level), f"{part * max(counts):.0f}", _INK, font, anchor="rm")
    for lower, upper, count in zip(edges, edges[1:], counts, strict=False):
        height = count / max(counts) * (bottom - top)
        if count:
            draw.rectangle((_across(edges, lower) + 1, bottom - height, _across(edges, upper) - 1, bottom), _BAR)
    decade = int(np.floor(np.log10(edges[0])))
    steps = [factor * 10.0**power for power in range(decade, 4) for factor in (1, 2, 5)]
    for step in (step for step in steps if edges[0] <= step <= edges[-1]):
        at = _across(edges, step)
        draw.line((at, bottom, at, bottom + 6), _INK)
        draw.text((at, bottom + 10), duration(step), _INK, font, anchor="mt")
    draw.text(((left + right) / 2, bottom + 44), "latency of an answer", _INK, font, anchor="mm")


def _draw_marks(draw: ImageDraw.ImageDraw, edges: list[float], latency: dict[str, float], font: Any) -> None:
    """A line per percentile, and over all lines the labels, stepping down so that neighbours do not overlap."""
    places = [_across(edges, min(max(latency[name], edges[0]), edges[-1])) for name in _MARKED]
    for at in places:
        draw.line((at, _BOX[1], at, _BOX[3]), _MARK, 2)
    for index, (name, at) in enumerate(zip(_MARKED, places, strict=True)):
        text, anchor = f"{name} {duration(latency[name])}", "rm" if at > _BOX[2] - 120 else "lm"
        place = (at + (-6 if anchor == "rm" else 6), _BOX[1] + 14 + 24 * index)
        left, top, right, bottom = draw.textbbox(place, text, font, anchor)
        draw.rectangle((left - 3, top - 3, right + 3, bottom + 3), "white")
        draw.text(place, text, _MARK, font, anchor)

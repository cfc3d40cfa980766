"""The results of a run as text: `metrics.json` for programs, a table for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.manifest import Measurement, Parity, Precision
from trainer.checkpoints import Position

_LINES = 200


def metrics_json(parity: Mapping[Precision, Parity], position: Position, history: Sequence[Mapping[str, Any]]) -> str:
    """The package's `metrics.json`: how much training it took, how it went, and how far the graphs lie apart."""
    content = {
        "trained_images": position["images"],
        "training_seconds": round(position["seconds"], 3),
        "images_per_second": round(position["images"] / max(position["seconds"], 1e-9), 1),
        "parity": {precision: result.model_dump() for precision, result in parity.items()},
        "history": history,
    }
    return json.dumps(content, indent=2) + "\n"


def evenly_spaced(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most 200 lines, the last one among them."""
    step = max(1, -(-len(history) // _LINES))
    return list(history[::-1][::step][::-1])


def evaluation_table(evaluation: Mapping[str, Measurement]) -> str:
    """One line per measure: its value, its interval, and that of real images."""
    width = max(map(len, evaluation), default=0)
    lines = []
    for name, result in evaluation.items():
        low, high = result.interval or (None, None)
        interval = "" if low is None or high is None else f"{_short(low)} … {_short(high)}"
        real = "" if result.real is None else f"real {_short(result.real)}"
        lines.append(f"  {name:<{width}}  {_short(result.value):>8}   {interval:<18}  {real}".rstrip())
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"

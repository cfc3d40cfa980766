"""The results of a run as text: `metrics.json` for programs, a table for people."""

import json
from collections.abc import Mapping

from runtime.manifest import Measurement, Parity, Precision
from trainer.checkpoints import Position


def metrics_json(evaluation: Mapping[str, Measurement], parity: Mapping[Precision, Parity], position: Position) -> str:
    """The package's `metrics.json`: what was measured, and how much training it took."""
    content = {
        "trained_images": position["images"],
        "training_seconds": round(position["seconds"], 3),
        "images_per_second": round(position["images"] / max(position["seconds"], 1e-9), 1),
        "evaluation": {name: result.model_dump() for name, result in evaluation.items()},
        "parity": {precision: result.model_dump() for precision, result in parity.items()},
    }
    return json.dumps(content, indent=2) + "\n"


def evaluation_table(evaluation: Mapping[str, Measurement]) -> str:
    """One line per measure: its value, and that of real images."""
    width = max(map(len, evaluation), default=0)
    lines = []
    for name, result in evaluation.items():
        real = "" if result.real is None else f"   real {result.real:.3f}"
        lines.append(f"  {name:<{width}}  {result.value:.3f}{real}")
    return "\n".join(lines)

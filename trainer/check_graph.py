"""Load and run exported graphs in a process of their own: ``python -m trainer.check_graph FILE…``.

A graph with an input `images` is an encoder, any other a generator.

A graph that crashes onnxruntime must not take the trainer with it, and must never be published.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

from runtime.generator import session_options


def check_graph(path: Path) -> None:
    """Run `path` on one and on three latents or images.

    Raises:
        ValueError: inputs or outputs are not those of a generator or an encoder.
    """
    session = onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
    kinds = {entry.name: entry.shape for entry in session.get_inputs()}
    if set(kinds) == {"images"}:
        _check_encoder(path, session, kinds["images"])
        return
    if not {"latents"} <= set(kinds) <= {"latents", "label"}:
        raise ValueError(f"{path.name}: inputs are {sorted(kinds)}, wanted are latents and perhaps label")
    for n in (1, 3):
        inputs: dict[str, np.ndarray] = {"latents": np.zeros((n, kinds["latents"][1]), np.float32)}
        if "label" in kinds:
            inputs["label"] = np.zeros(n, np.int64)
        (images,) = session.run(["images"], inputs)
        if images.dtype != np.uint8 or images.ndim < 4 or len(images) != n:
            raise ValueError(f"{path.name}: images are {images.dtype} {images.shape} for {n} latents")


def _check_encoder(path: Path, session: onnxruntime.InferenceSession, shape: list[int]) -> None:
    for n in (1, 3):
        (latents,) = session.run(["latents"], {"images": np.zeros((n, *shape[1:]), np.uint8)})
        if latents.dtype != np.float32 or latents.ndim != 2 or len(latents) != n:
            raise ValueError(f"{path.name}: latents are {latents.dtype} {latents.shape} for {n} images")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        check_graph(Path(argument))

"""Images on the way from one seed's latent to another's. Used by every transport."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from runtime.latents import MAX_SEED, labels_from_seeds, latents_from_seeds
from service.engine import Engine, SampleResult
from service.errors import InvalidRequest
from service.sampling import Label, SampleRequest
from service.served_models import ServedModel

Mode = Literal["slerp", "lerp"]

_ALMOST_PARALLEL = 1e-6  # sine of the angle below which the two ways are one


@dataclass(frozen=True, slots=True, kw_only=True)
class InterpolationRequest:
    """What a client asked for; types are checked, values are not.

    Attributes:
        steps: images, both ends included.
        labels: one for all steps or one per step; None: the class that `from_seed` draws.
        timeout_s: None takes the server's default.
    """

    from_seed: int
    to_seed: int
    steps: int
    mode: str = "slerp"
    labels: Sequence[Label] | None = None
    truncation: float | None = None
    precision: str = "auto"
    priority: str = "interactive"
    timeout_s: float | None = None


def interpolate(first: NDArray[np.float32], last: NDArray[np.float32], steps: int, mode: Mode) -> NDArray[np.float32]:
    """Latents from `first` to `last`, each ``[dim]``; both ends are exactly those given.

    ``slerp`` goes along the great circle (Shoemake 1985, "Animating rotation with quaternion curves"), where the length
    changes evenly too; ``lerp`` along the straight line, which passes nearer to the origin than drawn latents lie.

    Returns:
        float32 ``[steps, dim]``.
    """
    a, b = first.astype(np.float64), last.astype(np.float64)
    t = np.linspace(0.0, 1.0, steps)[:, None]
    weights = (1 - t, t)
    if mode == "slerp":
        cosine = np.dot(a, b) / max(np.linalg.norm(a) * np.linalg.norm(b), np.finfo(np.float64).tiny)
        angle = np.arccos(np.clip(cosine, -1.0, 1.0))
        if np.sin(angle) > _ALMOST_PARALLEL:
            weights = (np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle))
    path = (weights[0] * a + weights[1] * b).astype(np.float32)
    path[0], path[-1] = first, last
    return path


async def run_interpolation(engine: Engine, model: ServedModel, request: InterpolationRequest) -> SampleResult:
    """The images of `request`, in the order of the steps; `seeds` of the result is None.

    Raises:
        ServiceError: naming the field, the value received and what is allowed; or as `Engine.sample`.
    """
    if request.mode not in get_args(Mode):
        raise InvalidRequest.field("mode", request.mode, ", ".join(get_args(Mode)))
    mode: Mode = "lerp" if request.mode == "lerp" else "slerp"
    if not 2 <= request.steps <= engine.max_images:
        raise InvalidRequest.field("steps", request.steps, f"an integer from 2 to {engine.max_images}")
    for name, seed in (("from_seed", request.from_seed), ("to_seed", request.to_seed)):
        if not 0 <= seed <= MAX_SEED:
            raise InvalidRequest.field(name, seed, f"integers from 0 to {MAX_SEED} (2^53 - 1)")
    ends = latents_from_seeds([request.from_seed, request.to_seed], model.manifest.latent.dim)
    labels = request.labels
    if not labels and model.manifest.classes:
        labels = [int(labels_from_seeds([request.from_seed], len(model.manifest.classes))[0])]
    asked = SampleRequest(
        latents=interpolate(ends[0], ends[1], request.steps, mode),
        labels=labels,
        truncation=request.truncation,
        precision=request.precision,
        priority=request.priority,
        timeout_s=request.timeout_s,
    )
    return await engine.sample(asked, model)

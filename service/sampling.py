"""A sample request as any transport hands it over, and the checks that turn it into rows.

Every refused field gets the same message whatever transport it came through, because it is written here.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from runtime.latents import MAX_SEED, labels_from_seeds, row_seeds
from runtime.manifest import Manifest
from service.errors import DeadlineExceeded, InvalidRequest
from service.lanes import Priority, Rows

Label = int | str
_PRIORITIES: tuple[Priority, ...] = get_args(Priority)
_SEED_RANGE = f"integers from 0 to {MAX_SEED} (2^53 - 1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """What a client asked for; None means it said nothing. Types are checked, values are not.

    Attributes:
        seeds: one per image, instead of `seed`.
        labels: one for all images or one per image, by index or by name.
        truncation: one for all images or one per image.
        latents: float32 ``[n, latent_dim]``, instead of seeds.
        timeout_s: None takes the server's default.
    """

    model: str | None = None
    n: int | None = None
    seed: int | None = None
    seeds: Sequence[int] | None = None
    labels: Sequence[Label] | None = None
    truncation: float | NDArray[np.float32] | None = None
    latents: NDArray[np.float32] | None = None
    precision: str = "auto"
    priority: str = "interactive"
    timeout_s: float | None = None


def check_priority(value: str) -> Priority:
    """`value` as a priority.

    Raises:
        InvalidRequest: it is none.
    """
    for priority in _PRIORITIES:
        if value == priority:
            return priority
    raise InvalidRequest.field("priority", value, ", ".join(_PRIORITIES))


def check_timeout(value: float | None, default_s: float) -> float:
    """Seconds the request may take: `value`, at most the server's `default_s`.

    Raises:
        DeadlineExceeded: nothing is left of it.
    """
    if value is None:
        return default_s
    if value <= 0:
        raise DeadlineExceeded("the request's deadline had passed when it arrived")
    return min(value, default_s)


def build_rows(request: SampleRequest, manifest: Manifest, max_images: int, *, labels_by_part: bool = False) -> Rows:
    """Check every field against the model and lay the rows out; a missing seed is drawn.

    Args:
        labels_by_part: leave labels that come from seeds to `Rows.part`: those of 100,000 rows take half a second.

    Raises:
        InvalidRequest: naming the field, the value received and what is allowed.
    """
    n = _count(request, max_images)
    latents = _latents(request, n, manifest)
    seeds = None if latents is not None else _seeds(request, n)
    if labels_by_part and seeds is not None and manifest.classes and not request.labels:
        return Rows(n, seeds, None, None, _truncation(request, n), len(manifest.classes))
    return Rows(
        n=n,
        seeds=seeds,
        latents=latents,
        labels=_labels(request, n, seeds, manifest),
        truncation=_truncation(request, n),
    )


def _count(request: SampleRequest, max_images: int) -> int:
    given: list[tuple[str, int]] = [
        (name, len(value))
        for name, value in (("seeds", request.seeds), ("latents", request.latents))
        if value is not None
    ]
    if len(given) == 2 or (given and request.seed is not None):
        names = [name for name in ("seed", "seeds", "latents") if getattr(request, name) is not None]
        raise InvalidRequest(f"{', '.join(names)}: got all of them; allowed: one of them", param=names[-1])
    n: int = given[0][1] if given else 1
    asked = request.n
    if asked is not None:
        if not 1 <= asked <= max_images:
            raise InvalidRequest.field("n", asked, f"an integer from 1 to {max_images}")
        if given and asked != n:
            raise InvalidRequest.field("n", asked, f"{n}, the number of {given[0][0]}, or leave it out")
        n = asked
    if not 1 <= n <= max_images:
        raise InvalidRequest(f"{given[0][0]}: got {n} rows; allowed: 1 to {max_images}", param=given[0][0])
    return n


def _seeds(request: SampleRequest, n: int) -> NDArray[np.uint64]:
    if request.seeds is not None:
        for row_seed in request.seeds:
            if not 0 <= row_seed <= MAX_SEED:
                raise InvalidRequest.field("seeds", int(row_seed), _SEED_RANGE)
        return np.array(request.seeds, dtype=np.uint64)
    seed = request.seed
    if seed is None:
        seed = secrets.randbelow(MAX_SEED + 2 - n)
    if not 0 <= seed <= MAX_SEED:
        raise InvalidRequest.field("seed", seed, _SEED_RANGE)
    if seed + n - 1 > MAX_SEED:
        raise InvalidRequest.field("seed", seed, f"at most {MAX_SEED + 1 - n} for {n} images: row i has seed + i")
    return row_seeds(seed, n)


def _latents(request: SampleRequest, n: int, manifest: Manifest) -> NDArray[np.float32] | None:
    latents = request.latents
    if latents is None:
        return None
    expected = (n, manifest.latent.dim)
    if latents.shape != expected:
        raise InvalidRequest(
            f"latents: got shape {list(latents.shape)}; allowed: [n, {manifest.latent.dim}] for {manifest.reference}",
            param="latents",
        )
    finite = np.isfinite(latents)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InvalidRequest.field(f"latents[{row}][{column}]", float(latents[row, column]), "finite numbers")
    return np.ascontiguousarray(latents, dtype=np.float32)


def _labels(
    request: SampleRequest, n: int, seeds: NDArray[np.uint64] | None, manifest: Manifest
) -> NDArray[np.int64] | None:
    classes = manifest.classes
    if not classes:
        if request.labels is not None and len(request.labels):
            raise InvalidRequest.field("labels", list(request.labels), f"none: {manifest.reference} has no classes")
        return None
    if request.labels is None or not len(request.labels):
        if seeds is None:
            raise InvalidRequest.field("labels", None, f"one per latent or one for all: {_class_list(classes)}")
        return labels_from_seeds(seeds, len(classes))
    if len(request.labels) not in (1, n):
        raise InvalidRequest(
            f"labels: got {len(request.labels)} labels for {n} images; allowed: 1 or {n}", param="labels"
        )
    indices = [_class_index(label, classes) for label in request.labels]
    return np.array(indices if len(indices) == n else indices * n, dtype=np.int64)


def _class_index(label: Label, classes: list[str]) -> int:
    if isinstance(label, str):
        if label in classes:
            return classes.index(label)
        index = int(label) if label.isascii() and label.isdecimal() and len(label) < 10 else -1
    else:
        index = int(label)
    if not 0 <= index < len(classes):
        raise InvalidRequest.field("labels", label, _class_list(classes))
    return index


def _class_list(classes: list[str]) -> str:
    shown = ", ".join(classes[:20])
    more = f", … ({len(classes)} in all)" if len(classes) > 20 else ""
    return f"class names {shown}{more}, or indices 0 to {len(classes) - 1}"


def _truncation(request: SampleRequest, n: int) -> NDArray[np.float32] | None:
    if request.truncation is None:
        return None
    values = np.asarray(request.truncation, dtype=np.float32).reshape(-1)
    if len(values) not in (1, n):
        raise InvalidRequest(
            f"truncation: got {len(values)} values for {n} images; allowed: 1 or {n}", param="truncation"
        )
    wrong = ~((values > 0) & (values <= 1))
    if wrong.any():
        value = request.truncation if isinstance(request.truncation, float | int) else float(values[wrong][0])
        raise InvalidRequest.field("truncation", value, "a number above 0 and at most 1")
    return np.broadcast_to(values, (n,))

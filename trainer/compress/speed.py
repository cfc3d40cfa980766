"""How much faster one graph is than another on this processor."""

import time
from statistics import median

from trainer.parity import Sampler
from trainer.probes import Probe

BATCH = 8
"""Images at a time of the number that the manifest holds."""

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 400
_SECONDS = 1.0


def speed_ratio(reference: Sampler, other: Sampler, probe: Probe, seconds: float = _SECONDS) -> float:
    """Images per second of `other` over those of `reference`, on one thread, all of `probe` at a time.

    The median of the ratios of rounds in turns, so that a busy machine slows both alike.

    Args:
        seconds: to spend at most, but for a few rounds that are always taken.
    """
    for session in (reference, other):  # the first run prepares buffers
        _time(session, probe)
    ratios, begun = list[float](), time.perf_counter()
    while len(ratios) < _MOST_ROUNDS and (len(ratios) < _LEAST_ROUNDS or time.perf_counter() - begun < seconds):
        ratios.append(_time(reference, probe) / _time(other, probe))
    return median(ratios)


def _time(session: Sampler, probe: Probe) -> float:
    begun = time.perf_counter()
    session(probe.latents, probe.labels, batch=len(probe.labels))
    return time.perf_counter() - begun

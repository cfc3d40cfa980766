"""What each HTTP call needs. What no line names is for administrators: a new route cannot be left open."""

import re
from functools import lru_cache

from service.access import Need

OPEN_PATHS = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Probes answer without a key: they say nothing but yes or no."""

_READING = frozenset({"GET", "HEAD"})
_JOBS = re.compile(r"/v1/(files|fine_tuning|datasets)(/.*)?")
_PROMOTIONS = re.compile(r"/v1/fine_tuning/jobs/[^/]+/promote")  # changes what is served
_POSTS: tuple[tuple[re.Pattern[str], Need], ...] = (
    (re.compile(r"/v1/(samples|interpolations|reconstructions)"), "sample"),
    (re.compile(r"/v1/images/(generations|variations)"), "sample"),
    (re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer"), "sample"),
    (re.compile(r"/v2/repository/index"), "key"),  # a POST that reads
)


@lru_cache(64)
def needed(method: str, path: str) -> Need:
    """What `method path` needs."""
    if path in OPEN_PATHS:
        return "nothing"
    if _JOBS.fullmatch(path) and not _PROMOTIONS.fullmatch(path):
        return "train"
    if method in _READING:
        return "key"
    if method == "POST":
        for pattern, need in _POSTS:
            if pattern.fullmatch(path):
                return need
    return "admin"

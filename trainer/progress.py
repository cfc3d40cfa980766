"""Progress bars: of a training (share of the budget, images per second, time left), and of any other long work."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

_FORMAT = "{percentage:3.0f}%|{bar:24}| {desc}"
_STEPS = 1000
_QUIET_SECONDS = 2.0

T = TypeVar("T")


class ProgressBar:
    """One line on standard error, redrawn at most a few times per second."""

    def __init__(self, bar: "tqdm[Any]", interval: float) -> None:
        self._bar, self._interval = bar, interval
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._first: tuple[int, float] | None = None

    def update(self, images: int, progress: float) -> None:
        """Show that `images` are done and the share `progress` of the budget is used."""
        now = time.monotonic()
        if self._first is None:
            self._first = (images, progress)
            self._begun = now
        if now - self._drawn < self._interval and progress < 1:
            return
        self._drawn = now
        elapsed = max(now - self._begun, 1e-9)
        rate = (images - self._first[0]) / elapsed
        gained = progress - self._first[1]
        left = "?" if gained <= 0 else _duration(elapsed / gained * max(0.0, 1 - progress))
        self._bar.n = round(min(progress, 1.0) * _STEPS)
        self._bar.set_description_str(f"{images:,} images, {rate:,.0f} images/s, {left} left", refresh=False)
        self._bar.refresh()

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        if not self._bar.disable:
            self._bar.write(text, file=sys.stderr)


@contextmanager
def progress_bar(*, shown: bool = True) -> Iterator[ProgressBar]:
    """A bar that is redrawn in place on a terminal, and every 10 s in a log; silent unless `shown`."""
    terminal = sys.stderr.isatty()
    with tqdm(total=_STEPS, bar_format=_FORMAT, dynamic_ncols=terminal, file=sys.stderr, disable=not shown) as bar:
        yield ProgressBar(bar, interval=0.2 if terminal else 10.0)


def watched(steps: Iterable[T], what: str) -> Iterable[T]:
    """`steps` under a bar of their own, which shows only if they take longer than two seconds and then goes away."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(steps, what, leave=False, delay=_QUIET_SECONDS, mininterval=interval, file=sys.stderr)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

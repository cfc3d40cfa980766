"""How much of the server one caller may have: images per second, and requests open at the same time.

Images are counted by a token bucket that holds one second's worth and may go into debt: a request larger than the
bucket passes when the bucket is full, and the next waits until the debt is paid, so the mean rate is never passed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from service.access import Caller
from service.errors import Busy, RateLimited
from service.metrics import Metrics

_ROUNDING = 1e-6  # images: who comes back exactly when told finds the bucket full enough
_UNLIMITED = nullcontext()
_SMOOTHING = 0.2  # weight of the newest request in the running estimate of how long one stays open


@dataclass(slots=True)
class _Account:
    """What a caller has left, and has open."""

    images: float
    at: float
    open_requests: int = 0
    seconds: float = 0.1


class Quotas:
    """The accounts of all callers, one per key; those without a key share one."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        images_per_second: float | None = None,
        concurrent_requests: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Limits of callers whose key has none of its own; None is no limit."""
        self._metrics = metrics
        self._images_per_second = images_per_second
        self._concurrent_requests = concurrent_requests
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    def limits(self, caller: Caller) -> bool:
        """Whether this caller's images or requests are limited at all."""
        return bool(
            caller.images_per_second
            or self._images_per_second
            or caller.concurrent_requests
            or self._concurrent_requests
        )

    def charge(self, caller: Caller, images: int) -> None:
        """Take `images` from the caller's bucket.

        Raises:
            RateLimited: it does not hold enough; says when it will.
        """
        rate = caller.images_per_second or self._images_per_second
        if rate is None:
            return
        account, most = self._account(caller), max(rate, 1.0)
        now = self._clock()
        account.images = min(most, account.images + (now - account.at) * rate)
        account.at = now
        missing = min(images, most) - account.images
        if missing > _ROUNDING:
            self._metrics.rejected.labels("rate").inc()
            raise RateLimited(
                f"n: {images} more would exceed the {rate:g} images per second of this caller",
                param="n",
                retry_after_s=missing / rate,
            )
        account.images -= images

    def charged(self, caller: Caller, images: int) -> AbstractContextManager[None]:
        """`charge` on entering, and give it back where the server is too busy to make the images.

        Raises:
            RateLimited: see `charge`.
        """
        limited = caller.images_per_second or self._images_per_second
        return self._charged(caller, images) if limited else _UNLIMITED

    @contextmanager
    def _charged(self, caller: Caller, images: int) -> Iterator[None]:
        self.charge(caller, images)
        try:
            yield
        except Busy:
            if caller.key_id in self._accounts:
                self._accounts[caller.key_id].images += images
            raise

    def open_request(self, caller: Caller) -> AbstractContextManager[None]:
        """Count a request of the caller's while it is being answered.

        Raises:
            RateLimited: it has as many open as it may; says how long one of them takes on average.
        """
        most = caller.concurrent_requests or self._concurrent_requests
        return self._open_request(caller, most) if most else _UNLIMITED

    @contextmanager
    def _open_request(self, caller: Caller, most: int) -> Iterator[None]:
        account = self._account(caller)
        if account.open_requests >= most:
            self._metrics.rejected.labels("rate").inc()
            raise RateLimited(
                f"requests: this caller has {account.open_requests} open; allowed: {most} at the same time",
                retry_after_s=account.seconds / most,
            )
        account.open_requests += 1
        start = self._clock()
        try:
            yield
        finally:
            account.open_requests -= 1
            account.seconds += _SMOOTHING * (self._clock() - start - account.seconds)

    def _account(self, caller: Caller) -> _Account:
        account = self._accounts.get(caller.key_id)
        if account is None:
            full = max(caller.images_per_second or self._images_per_second or 0.0, 1.0)
            account = self._accounts[caller.key_id] = _Account(full, self._clock())
        return account

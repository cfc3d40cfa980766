"""Is the server ready? One answer for the HTTP probes, gRPC health and the inference protocol."""

from service.registry import Registry


class Lifecycle:
    """Ready from the end of the first warm-up until the first sign of shutdown."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return self._registry.ready and not self.draining

    @property
    def reason(self) -> str:
        """Why `ready` is false, in one sentence; empty when it is true."""
        return "the server is shutting down" if self.draining else self._registry.why_not_ready

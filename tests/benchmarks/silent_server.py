"""`latentd`, but its server counts nothing: python -m tests.benchmarks.silent_server serve …"""

from typing import Any

from prometheus_client import CollectorRegistry

import service.app
from runtime.cli import main
from service.metrics import Metrics


class _Silent:
    """A metric that takes every call and keeps nothing."""

    def labels(self, *values: str) -> "_Silent":
        return self

    __call__ = labels  # of the functions that find a series

    def inc(self, amount: float = 1) -> None:
        pass

    def set(self, value: float) -> None:
        pass

    def observe(self, value: float) -> None:
        pass

    def set_function(self, read: object) -> None:
        pass

    def remove(self, *values: str) -> None:
        pass


class SilentMetrics(Metrics):
    """The same names; only the registry is real."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        silent: Any = _Silent()
        for name, metric in vars(self).items():
            if name != "registry":
                setattr(self, name, dict.fromkeys(metric, silent) if isinstance(metric, dict) else silent)


if __name__ == "__main__":
    vars(service.app)["Metrics"] = SilentMetrics  # the name that the composition root builds
    main()

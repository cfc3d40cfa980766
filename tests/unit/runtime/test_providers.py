"""Execution providers are asked for only where they will really run."""

import ctypes
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError

import onnxruntime
import pytest

from runtime import providers
from runtime.providers import CPU, CUDA, check_onnxruntime, cuda_device_count, usable_providers


@pytest.fixture(autouse=True)
def fresh_count() -> Iterator[None]:
    cuda_device_count.cache_clear()
    yield
    cuda_device_count.cache_clear()


class Driver:
    """Stands in for `libcuda.so.1`."""

    def __init__(self, devices: int, *, init: int = 0, count: int = 0) -> None:
        self.devices, self.init, self.count = devices, init, count

    def cuInit(self, flags: int) -> int:  # noqa: N802 - the driver's own name
        return self.init

    def cuDeviceGetCount(self, pointer: "ctypes._CArgObject") -> int:  # noqa: N802
        pointer._obj.value = self.devices  # type: ignore[attr-defined]
        return self.count


def install_driver(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    def load(name: str) -> Driver:
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError("libcuda.so.1: cannot open shared object file")
        return driver

    monkeypatch.setattr(ctypes, "CDLL", load)


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def distribution(name: str) -> object:
        if name not in names:
            raise PackageNotFoundError(name)
        return object()

    monkeypatch.setattr(providers, "distribution", distribution)


@pytest.mark.parametrize(
    ("driver", "devices"),
    [
        (None, 0),
        (Driver(0), 0),
        (Driver(2), 2),
        (Driver(2, init=100), 0),
        (Driver(2, count=3), 0),
    ],
    ids=["no driver", "no device", "two devices", "driver does not start", "driver does not count"],
)
def test_devices_are_counted_by_the_driver(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | None, devices: int
) -> None:
    install_driver(monkeypatch, driver)
    assert cuda_device_count() == devices


@pytest.mark.parametrize("built", [[CPU], [CUDA, CPU]], ids=["CPU build", "GPU build"])
@pytest.mark.parametrize("driver", [None, Driver(0), Driver(1)], ids=["no driver", "no device", "one device"])
def test_cuda_needs_the_build_and_a_device(
    monkeypatch: pytest.MonkeyPatch, built: list[str], driver: Driver | None
) -> None:
    install_driver(monkeypatch, driver)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built)
    both = CUDA in built and driver is not None and driver.devices > 0
    assert usable_providers() == ([CUDA, CPU] if both else [CPU])


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_exactly_one_distribution_is_fine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    installed(monkeypatch, name)
    check_onnxruntime()


def test_both_distributions_are_refused_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "onnxruntime", "onnxruntime-gpu")
    with pytest.raises(RuntimeError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        check_onnxruntime()


def test_no_distribution_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    with pytest.raises(RuntimeError, match=r"onnxruntime is missing: install latentd\[cpu\]"):
        check_onnxruntime()


def test_this_environment_holds_exactly_one() -> None:
    check_onnxruntime()

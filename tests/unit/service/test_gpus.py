"""GPUs as NVIDIA's library tells of them; a small library of ours stands in for a driver that is not here."""

import math
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from service.gpus import watch_gpus
from service.metrics import Metrics
from tests.unit.service.parts import value_of

# The functions of NVML that are used, with two devices of which the second is lost.
_DRIVER = """
static int devices[2] = {0, 1};
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = &devices[index]; return 0; }
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *memory) {
    if (*(int *)device) return 15;
    memory[0] = 80; memory[1] = 50; memory[2] = 30;
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, unsigned *rates) {
    if (*(int *)device) return 15;
    rates[0] = 25; rates[1] = 99;
    return 0;
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.c").write_text(_DRIVER)
    library = folder / "libdriver.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "driver.c"], check=True)
    return library


def test_memory_and_utilization_of_every_gpu(metrics: Metrics, driver: Path) -> None:
    assert watch_gpus(metrics, str(driver)) == 2
    assert value_of(metrics, "latentd_gpu_memory_bytes", gpu="0", state="used") == 30
    assert value_of(metrics, "latentd_gpu_memory_bytes", gpu="0", state="free") == 50
    assert value_of(metrics, "latentd_gpu_utilization_ratio", gpu="0") == 0.25


def test_a_gpu_that_is_lost_has_no_number(metrics: Metrics, driver: Path) -> None:
    watch_gpus(metrics, str(driver))
    assert math.isnan(value_of(metrics, "latentd_gpu_memory_bytes", gpu="1", state="used"))
    assert math.isnan(value_of(metrics, "latentd_gpu_utilization_ratio", gpu="1"))


def test_without_a_driver_there_is_nothing_to_watch(metrics: Metrics) -> None:
    assert watch_gpus(metrics, "libno-such-driver.so.1") == 0
    assert b"latentd_gpu_memory_bytes{" not in generate_latest(metrics.registry)

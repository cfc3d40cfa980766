"""Free space is that of now, and a folder that is gone breaks no scrape."""

import math
import shutil
from pathlib import Path

from prometheus_client import generate_latest

from service.disks import watch_disks
from service.metrics import Metrics
from tests.unit.service.parts import value_of


def test_free_and_size_are_those_of_the_file_system(metrics: Metrics, tmp_path: Path) -> None:
    watch_disks(metrics, {"store": tmp_path})
    usage = shutil.disk_usage(tmp_path)
    assert value_of(metrics, "latentd_disk_size_bytes", folder="store") == usage.total
    assert abs(value_of(metrics, "latentd_disk_free_bytes", folder="store") - usage.free) < usage.total / 100


def test_a_folder_that_is_gone_has_no_number(metrics: Metrics, tmp_path: Path) -> None:
    watch_disks(metrics, {"store": tmp_path / "absent"})
    assert math.isnan(value_of(metrics, "latentd_disk_free_bytes", folder="store"))
    assert b"latentd_queue_rows 0.0" in generate_latest(metrics.registry)

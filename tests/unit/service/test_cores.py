"""A container's CPU limit counts, not the machine it runs on."""

import os
from pathlib import Path

import pytest

from service.cores import available_cores


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("max 100000\n", 4),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),  # one and a half: a second worker has work for half of its time
        ("50000 100000\n", 1),
        ("800000 100000\n", 4),
        ("nonsense", 4),
        ("100000 0\n", 4),
    ],
)
def test_the_smaller_of_affinity_and_limit_counts(content: str, cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert available_cores(tmp_path / "cpu.max") == cores


@pytest.mark.usefixtures("four_cores")
def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "absent") == 4

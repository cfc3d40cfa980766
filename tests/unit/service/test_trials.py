"""Packages are tried in a process of their own, once."""

from pathlib import Path

import pytest

from runtime.errors import PackageCorrupt
from runtime.package import Package
from runtime.store import DirectoryStore
from service.trials import Trials
from tests.kit.tiny_package import EXPECTED_FILE, flip_byte, publish_tiny


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return publish_tiny(DirectoryStore(tmp_path / "models"))


def stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Another program in the place of Python."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))


def test_what_has_passed_is_not_tried_again_even_after_a_restart(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(tmp_path / "tried.json")
    trials.check(package)
    stand_in(monkeypatch, tmp_path, "kill -SEGV $$")
    trials.check(package)
    Trials(tmp_path / "tried.json").check(package)
    with pytest.raises(PackageCorrupt, match=r"tiny@1: loading it ends the process that does, by SIGSEGV"):
        Trials().check(package)


def test_another_package_under_the_same_name_is_tried(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = Trials(tmp_path / "tried.json")
    trials.check(package)
    other = publish_tiny(DirectoryStore(tmp_path / "other"), variant=1)
    stand_in(monkeypatch, tmp_path, "kill -ABRT $$")
    with pytest.raises(PackageCorrupt, match="SIGABRT"):
        trials.check(other)


def test_one_that_does_not_end_is_refused(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.trials._LONGEST_S", 0.2)
    stand_in(monkeypatch, tmp_path, "exec sleep 60")
    with pytest.raises(PackageCorrupt, match="does not end within"):
        Trials().check(package)


def test_a_package_that_is_refused_is_left_to_whoever_loads_it(package: Package, tmp_path: Path) -> None:
    flip_byte(package.path / EXPECTED_FILE)
    trials = Trials(tmp_path / "tried.json")
    trials.check(package)
    assert not (tmp_path / "tried.json").exists()


def test_a_broken_record_is_begun_anew(package: Package, tmp_path: Path) -> None:
    (tmp_path / "tried.json").write_text("[1")
    Trials(tmp_path / "tried.json").check(package)
    assert (tmp_path / "tried.json").read_text().count("]") == 1

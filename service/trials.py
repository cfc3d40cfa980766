"""Packages are tried in a process of their own before this one loads them: one that crashes onnxruntime crashes that.

What has passed is remembered, by the bytes of the manifest, which names those of every file, and the runtime they were
tried with; so a restart tries nothing again.
"""

import hashlib
import logging
import signal
import subprocess
import sys
from pathlib import Path

import onnxruntime
from pydantic import TypeAdapter, ValidationError

from runtime.atomic import write_atomic
from runtime.errors import PackageCorrupt
from runtime.manifest import MANIFEST_FILE
from runtime.package import Package
from service.launcher import launch_command

_LOG = logging.getLogger(__name__)
_LONGEST_S = 300.0
_MOST_KEPT = 1_000
_KEYS = TypeAdapter(list[str])


class Trials:
    """Which packages have passed. Methods block."""

    def __init__(self, path: Path | None = None) -> None:
        """Read `path`, which need not exist; None remembers in memory alone."""
        self._path = path
        self._passed: dict[str, None] = {}
        if path is not None and path.exists():
            try:
                self._passed = dict.fromkeys(_KEYS.validate_json(path.read_bytes()))
            except (OSError, ValidationError):
                _LOG.warning("%s cannot be read; packages are tried again", path)

    def check(self, package: Package) -> None:
        """Try `package`, unless it has passed before. One that is refused there is refused here, with its reason.

        Raises:
            PackageCorrupt: it ends the process that loads it, or that does not end.
        """
        digest = hashlib.sha256((package.path / MANIFEST_FILE).read_bytes()).hexdigest()
        key = f"{digest} {onnxruntime.__version__}"
        if key in self._passed:
            return
        reference = package.manifest.reference
        command = launch_command([sys.executable, "-m", "runtime.trial", str(package.path.resolve())], nice=0)
        try:
            tried = subprocess.run(command, capture_output=True, timeout=_LONGEST_S, check=False)  # noqa: S603
        except subprocess.TimeoutExpired as error:
            raise PackageCorrupt(reference, f"loading it does not end within {_LONGEST_S:.0f} s") from error
        if tried.returncode < 0:
            name = signal.Signals(-tried.returncode).name
            raise PackageCorrupt(reference, f"loading it ends the process that does, by {name}")
        if tried.returncode == 0:
            self._remember(key)

    def _remember(self, key: str) -> None:
        self._passed = dict.fromkeys([*self._passed, key][-_MOST_KEPT:])
        if self._path is not None:
            write_atomic(self._path, _KEYS.dump_json(list(self._passed)))

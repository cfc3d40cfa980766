"""Where model packages live: ``<store>/<name>/<version>/``.

A store is three methods; `DirectoryStore` is the one on a local or mounted file system.
"""

import errno
import fcntl
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from runtime.atomic import sync_directory, sync_file, write_atomic
from runtime.errors import PackageCorrupt, PackageError, PackageNotFound
from runtime.manifest import MANIFEST_FILE, Manifest
from runtime.package import Package, open_package

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_STAGING = ".staging"
_LOCK = ".lock"
_LAST_VERSION = ".last-version"  # outlives the deletion of a version, so that its number is not given again


class ModelStore(Protocol):
    """Named, versioned model packages. Versions are positive integers, never reused."""

    def versions(self) -> dict[str, list[int]]:
        """Every model name with its versions in ascending order."""
        ...

    def open(self, name: str, version: int) -> Package:
        """A package whose files have all been checked.

        Raises:
            PackageError: not found, corrupt or unsupported; see `runtime.errors`.
        """
        ...

    def publish(self, name: str, staged: Path, describe: Callable[[int], Manifest]) -> Package:
        """Make the staged folder the next version of `name`, all at once.

        `describe` gets the version number and returns the manifest to write into the folder.
        """
        ...

    def delete(self, name: str, version: int) -> None:
        """Remove a version, all at once; its number is not given again.

        Raises:
            PackageError: not found.
        """
        ...


class DirectoryStore:
    """Packages as folders. Publishing is one rename, so a reader never sees half a package."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self) -> dict[str, list[int]]:
        """Every model name with its versions in ascending order; an absent root is an empty store."""
        if not self.root.is_dir():
            return {}
        found = {}
        for model in sorted(self.root.iterdir()):
            if not _NAME.fullmatch(model.name) or not model.is_dir():
                continue
            numbers = sorted(
                int(entry.name) for entry in model.iterdir() if _VERSION.fullmatch(entry.name) and entry.is_dir()
            )
            if numbers:
                found[model.name] = numbers
        return found

    def open(self, name: str, version: int) -> Package:
        """See `ModelStore.open`. Names that could leave the root are not found."""
        path = self.root / name / str(version)
        if not _NAME.fullmatch(name) or version < 1 or not path.is_dir():
            raise PackageNotFound(f"{name}@{version}", f"not in the store {self.root}")
        package = open_package(path)
        if (package.manifest.name, package.manifest.version) != (name, version):
            raise PackageCorrupt(
                f"{name}@{version}",
                f"{MANIFEST_FILE} says it is {package.manifest.reference}: the folder was moved",
            )
        return package

    def delete(self, name: str, version: int) -> None:
        """See `ModelStore.delete`. One rename takes it away; what it held is removed afterwards."""
        path = self.root / name / str(version)
        if not _NAME.fullmatch(name) or version < 1 or not path.is_dir():
            raise PackageNotFound(f"{name}@{version}", f"not in the store {self.root}")
        with self.stage() as staged, _locked(path.parent / _LOCK):
            last_version = path.parent / _LAST_VERSION
            if not last_version.exists():  # a store that was filled by hand
                write_atomic(last_version, b"%d" % max(self.versions()[name]))
            path.rename(staged / "deleted")
            sync_directory(path.parent)

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """An empty folder on the store's file system; what is not published from it is removed."""
        staged = self.root / _STAGING / uuid.uuid4().hex
        staged.mkdir(parents=True)
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def publish(self, name: str, staged: Path, describe: Callable[[int], Manifest]) -> Package:
        """See `ModelStore.publish`. Publishers of one name take turns; where a file system has no locks, the
        rename decides. A number is burnt before it is used, so that a crash cannot make it be given twice.
        """
        if not _NAME.fullmatch(name):
            raise PackageError(repr(name), f"the name must match {_NAME.pattern}")
        model = self.root / name
        model.mkdir(parents=True, exist_ok=True)
        last_version = model / _LAST_VERSION
        with _locked(model / _LOCK):
            published = self.versions().get(name, [])
            if last_version.exists():
                published = [*published, int(last_version.read_text())]
            version = max(published, default=0) + 1
            while True:
                manifest = describe(version)
                if (manifest.name, manifest.version) != (name, version):
                    raise PackageError(
                        f"{name}@{version}", f"the manifest describes {manifest.reference}, not {name}@{version}"
                    )
                (staged / MANIFEST_FILE).write_text(manifest.to_json())
                for file in staged.iterdir():
                    sync_file(file)
                sync_directory(staged)
                write_atomic(last_version, b"%d" % version)
                target = model / str(version)
                try:
                    staged.rename(target)
                except OSError as error:
                    if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                        raise
                    version += 1  # another publisher took this number
                    continue
                sync_directory(model)
                return Package(target, manifest)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

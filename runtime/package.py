"""A model package on disk, and the checks it must pass before it is used."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import PackageCorrupt
from runtime.manifest import Manifest, StoredFile, read_manifest

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Package:
    """A directory whose manifest has been read."""

    path: Path
    manifest: Manifest

    def read_verified(self, name: str) -> bytes:
        """The bytes of file `name`, checked against the manifest as they were read.

        Raises:
            PackageCorrupt: the file is missing, or its size or SHA-256 differs.
        """
        expected = self.manifest.stored_files()[name]
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise PackageCorrupt(self.manifest.reference, f"{name} cannot be read: {error.strerror}") from error
        _compare(self, name, expected, StoredFile(sha256=hashlib.sha256(content).hexdigest(), size=len(content)))
        return content


def open_package(path: Path) -> Package:
    """Read a package's manifest and check every file of it against size and SHA-256.

    Raises:
        PackageError: with the reason, see `runtime.errors`.
    """
    package = Package(path, read_manifest(path))
    for name, expected in package.manifest.stored_files().items():
        try:
            found = describe_file(path / name)
        except OSError as error:
            raise PackageCorrupt(package.manifest.reference, f"{name} cannot be read: {error.strerror}") from error
        _compare(package, name, expected, found)
    return package


def describe_file(path: Path) -> StoredFile:
    """Size and SHA-256 of `path`, read in pieces."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return StoredFile(sha256=digest.hexdigest(), size=size)


def _compare(package: Package, name: str, expected: StoredFile, found: StoredFile) -> None:
    if found.size != expected.size:
        raise PackageCorrupt(
            package.manifest.reference, f"{name} has {found.size} bytes, the manifest says {expected.size}"
        )
    if found.sha256 != expected.sha256:
        raise PackageCorrupt(
            package.manifest.reference,
            f"{name} has SHA-256 {found.sha256[:12]}…, the manifest says {expected.sha256[:12]}…",
        )

"""What may change in a published package: the evidence beside its graphs, never the graphs."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from runtime.atomic import write_atomic
from runtime.manifest import MANIFEST_FILE, Manifest, read_manifest
from runtime.package import Package, describe_file


def amend(package: Package, files: Mapping[str, bytes], change: Callable[[Manifest], Manifest]) -> Package:
    """Put `files` into the package's folder, list them in its manifest, and change what the manifest says.

    A crash at any moment leaves a package that verifies: a file that is replaced leaves the manifest first. Others
    who amend the same package wait.

    Args:
        files: content by name; none may be a graph or the recorded outputs.
        change: gets the manifest as it is on the disk by now, and returns it with other words or measures.

    Raises:
        PackageError: the manifest cannot be read any more.
        OSError: the folder may not be written.
    """
    with _alone(package.path):
        manifest = read_manifest(package.path)
        fixed = {manifest.self_test.file, *(manifest.stored_files().keys() - manifest.files.keys())}
        assert not fixed & files.keys(), f"{sorted(fixed & files.keys())} make the package what it is"
        others = {name: entry for name, entry in manifest.files.items() if name not in files}
        if len(others) < len(manifest.files):
            _write(package.path, manifest.model_copy(update={"files": others}))
        for name, content in files.items():
            write_atomic(package.path / name, content)
        added = {name: describe_file(package.path / name) for name in files}
        amended = change(manifest).model_copy(update={"files": others | added})
        amended = Manifest.model_validate(amended.model_dump())  # copies are not checked
        _write(package.path, amended)
    return Package(package.path, amended)


def _write(folder: Path, manifest: Manifest) -> None:
    write_atomic(folder / MANIFEST_FILE, manifest.to_json().encode())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

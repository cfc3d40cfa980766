"""Errors of packages and stores.

::

    ValueError
    └─ PackageError            a package cannot be read, verified or written; `reason` says why
       ├─ PackageCorrupt       a file is missing, its hash or size differs, or its outputs do
       ├─ PackageUnsupported   written by a newer latentd, or needs what this install lacks
       └─ PackageNotFound      no such name or version in the store
"""


class PackageError(ValueError):
    """A model package that cannot be used.

    Attributes:
        package: what was looked at: a path or ``name@version``.
        reason: one sentence that names the file or field, what was found and what was expected.
    """

    def __init__(self, package: object, reason: str) -> None:
        super().__init__(f"package {package}: {reason}")
        self.package = str(package)
        self.reason = reason


class PackageCorrupt(PackageError):
    """The bytes on disk are not the ones the manifest describes."""


class PackageUnsupported(PackageError):
    """A valid package that this installation cannot run."""


class PackageNotFound(PackageError):
    """No such name or version."""

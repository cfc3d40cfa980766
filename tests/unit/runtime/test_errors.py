"""The tree of package errors."""

from pathlib import Path

import pytest

from runtime.errors import PackageCorrupt, PackageError, PackageNotFound, PackageUnsupported


@pytest.mark.parametrize("kind", [PackageCorrupt, PackageNotFound, PackageUnsupported])
def test_every_kind_is_a_package_error_that_a_caller_can_cause(kind: type[PackageError]) -> None:
    assert issubclass(kind, PackageError)
    assert issubclass(kind, ValueError)


def test_an_error_says_which_package_and_why() -> None:
    error = PackageCorrupt(Path("models/tiny/1"), "generator.onnx has 3 bytes, the manifest says 4")
    assert (error.package, error.reason) == ("models/tiny/1", "generator.onnx has 3 bytes, the manifest says 4")
    assert str(error) == "package models/tiny/1: generator.onnx has 3 bytes, the manifest says 4"

"""Load a package and run its self-tests in a process of its own: ``python -m runtime.trial FOLDER``.

onnxruntime is native code, which a graph can crash, and with it whoever loads it. Exit code 1: the package was refused,
and the last line of stderr says why. A signal: it would have been a crash.
"""

import sys
from pathlib import Path

from runtime.encoder import Encoder
from runtime.errors import PackageError
from runtime.generator import Generator
from runtime.package import open_package


def main(folder: Path) -> None:
    """Load every graph of the package in `folder`.

    Raises:
        PackageError: it cannot be used.
    """
    package = open_package(folder)
    for precision in package.manifest.precisions:
        Generator(package, precision)
    if package.manifest.encoder:
        Encoder(package)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except PackageError as error:
        sys.exit(str(error))

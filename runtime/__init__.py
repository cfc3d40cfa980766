"""What a trained generator is on disk and how it is run.

Both sides of latentd stand on this package: the trainer writes model packages with it and the
server runs them with it, so a sample grid made offline and an image served online come from the
same code. It imports no torch, no web framework and no gRPC.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("latentd")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

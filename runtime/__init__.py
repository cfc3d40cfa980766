"""What a trained generator is on disk and how it is run.

Both sides of latentd stand on this package: the trainer writes model packages with it and the
server runs them with it, so a sample grid made offline and an image served online come from the
same code. It imports no torch, no web framework and no gRPC.
"""

import os
from importlib.metadata import PackageNotFoundError, version

# onnxruntime's own wheels, from 1.31 on, give the machine a number in its user's home and tell their maker what runs,
# unless this is set before they are imported. Whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

try:
    __version__ = version("latentd")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

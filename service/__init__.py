"""The server: two thin transports over one engine. It imports no torch and nothing of the trainer."""

import runtime as _runtime  # noqa: F401 - before onnxruntime, see there

"""Images in, model package out: the offline half of latentd, and the only place that imports torch."""

import runtime as _runtime  # noqa: F401 - before onnxruntime, see there

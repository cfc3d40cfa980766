"""Onnxruntime's quantizers log their advice to the root logger, where it is everybody's."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_root_logger(level: int) -> Iterator[None]:
    """Within it the root logger passes nothing below `level`."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(before)

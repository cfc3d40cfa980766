"""`labels.txt`: the names of the classes, one a line, for formats whose labels are numbers alone."""

from collections.abc import Sequence

from runtime.atomic import write_atomic
from runtime.synthesis.writers.base import Target, WrittenFile, described

LABELS_FILE = "labels.txt"


def list_refusal(class_names: Sequence[str]) -> str | None:
    """Why a list of lines cannot hold these names."""
    bad = next((name for name in class_names if len(name.splitlines()) != 1), None)
    return bad if bad is None else f"its {LABELS_FILE} has a line per class, and {bad!r} is not one line"


def write_class_list(target: Target) -> list[WrittenFile]:
    """Write `labels.txt`, nothing without classes."""
    if not target.class_names:
        return []
    write_atomic(target.folder / LABELS_FILE, "".join(f"{name}\n" for name in target.class_names).encode())
    return [described(target, LABELS_FILE, 0)]

"""`labels.txt` beside images whose labels are numbers: a name per line, that of 0 first."""

from pathlib import Path

LABELS_FILE = "labels.txt"


def read_class_list(folder: Path) -> tuple[str, ...]:
    """The names in `folder`, none where there is no list that names every class once."""
    try:
        names = tuple((folder / LABELS_FILE).read_text("utf-8").splitlines())
    except (OSError, ValueError):
        return ()
    return names if len(set(names)) == len(names) else ()

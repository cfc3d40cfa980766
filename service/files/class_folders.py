"""Folders of an archive as classes: those that hold all pictures do not count."""

import os.path
from collections.abc import Sequence
from pathlib import PurePosixPath

from service.files.archives import Refused


def classes_of(folders: Sequence[str]) -> dict[str, str | None]:
    """The class of the pictures in each of `folders`; None everywhere where there is one folder only.

    Raises:
        Refused: pictures lie beside class folders.
    """
    paths = [PurePosixPath(folder) for folder in dict.fromkeys(folders)]
    if len(paths) < 2:
        return {str(path): None for path in paths}
    common = PurePosixPath(os.path.commonpath(paths))
    below = {str(path): path.relative_to(common).parts for path in paths}
    if () in below.values():
        raise Refused(f"images lie beside the class folders in {str(common)!r}; allowed: each in a class folder")
    return {folder: parts[0] for folder, parts in below.items()}

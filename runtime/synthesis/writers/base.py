"""What every format's writer does, and how a file appears all at once."""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from runtime.atomic import sync_directory
from runtime.manifest import Output
from runtime.package import describe_file
from runtime.synthesis.drawing import Chunk
from runtime.synthesis.plan import Part, Plan


@dataclass(frozen=True)
class Target:
    """Where a data set goes and what it holds.

    Attributes:
        folder: of the finished files.
        scratch: for what is kept between runs until the set is complete.
        unfinished: for files that are being written; emptied when a run begins. Both are on `folder`'s file system.
        class_names: all classes of the package; labels are indices into them.
    """

    folder: Path
    scratch: Path
    unfinished: Path
    plan: Plan
    output: Output
    class_names: tuple[str, ...]


class WrittenFile(BaseModel):
    """A finished file of a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    size: int
    sha256: str


class Writer(Protocol):
    """Writes the rows of a plan in one format. Parts may come in any order and from several processes, each with a
    writer of its own; a part written again leaves the same bytes."""

    sharded: ClassVar[bool]
    """Whether each part is a file of its own, so that a shard's size can be chosen."""

    encoded: ClassVar[bool]
    """Whether it holds image files, so that their format can be chosen; others hold pixels."""

    data_files: ClassVar[str | None]
    """Pattern by which Hugging Face `datasets` finds the files; None where it has no reader for them."""

    example: ClassVar[str]
    """Python that reads the set in the folder ``.``, for the data card."""

    def __init__(self, target: Target) -> None:
        """Write into `target.folder`."""
        ...

    @staticmethod
    def refusal(output: Output, class_names: Sequence[str]) -> str | None:
        """Why this format cannot hold such rows, and which can; None where it can."""
        ...

    def write(self, part: Part, chunks: Iterable[Chunk]) -> list[WrittenFile]:
        """Write all rows of `part`; they are on the disk when this returns."""
        ...

    def finish(self) -> list[WrittenFile]:
        """Make the set complete once every part is written; may be called again after a kill."""
        ...


@contextmanager
def whole_file(target: Target, name: str) -> Iterator[BinaryIO]:
    """A file that appears as `name` in the target's folder once it is complete and on the disk."""
    temporary = target.unfinished / f"{name}.{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target.folder / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.folder)


def described(target: Target, name: str, rows: int) -> WrittenFile:
    """Size and checksum of the finished file `name`."""
    stored = describe_file(target.folder / name)
    return WrittenFile(name=name, rows=rows, size=stored.size, sha256=stored.sha256)

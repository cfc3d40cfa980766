"""WebDataset shards: tar files in which ``<key>.png`` and ``<key>.cls`` lie side by side; the key is the row seed.

Headers carry no time and no owner, so that equal sets are equal files, and are of the old form (ustar) that every
reader knows; Python's default (pax) is not read by some.
"""

import tarfile
from collections.abc import Iterable, Sequence
from typing import BinaryIO, ClassVar

from runtime.manifest import Output
from runtime.synthesis.drawing import Chunk
from runtime.synthesis.encoding import encode_row, file_name
from runtime.synthesis.plan import Part
from runtime.synthesis.writers.base import Target, WrittenFile, described, whole_file
from runtime.synthesis.writers.class_list import list_refusal, write_class_list


class WebDatasetWriter:
    """``train-000000.tar``, …; one part is one shard."""

    sharded: ClassVar[bool] = True
    encoded: ClassVar[bool] = True
    data_files: ClassVar[str | None] = "train-*.tar"
    example: ClassVar[str] = """\
from glob import glob

import webdataset as wds

data = wds.WebDataset(sorted(glob("train-*.tar")), shardshuffle=False).decode("pil")
sample = next(iter(data))  # keys: __key__ (the row seed), {suffix}{label_key}"""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._format = target.plan.image_format or "png"

    @staticmethod
    def refusal(_output: Output, class_names: Sequence[str]) -> str | None:
        """Only names that are no line of text."""
        return list_refusal(class_names)

    def write(self, part: Part, chunks: Iterable[Chunk]) -> list[WrittenFile]:
        """See `Writer`."""
        name = f"train-{part.index:06d}.tar"
        with whole_file(self._target, name) as file:
            for chunk in chunks:
                for row in range(len(chunk)):
                    image_name = file_name(int(chunk.seeds[row]), self._format)
                    _add(file, image_name, encode_row(chunk.images[row], self._format))
                    if chunk.labels is not None:
                        _add(file, f"{image_name.partition('.')[0]}.cls", b"%d" % chunk.labels[row])
            file.write(bytes(2 * tarfile.BLOCKSIZE))
            file.write(bytes(-file.tell() % tarfile.RECORDSIZE))
        return [described(self._target, name, len(part))]

    def finish(self) -> list[WrittenFile]:
        """The names of the classes."""
        return write_class_list(self._target)


def _add(file: BinaryIO, name: str, content: bytes) -> None:
    """One member. `tarfile.TarFile` would remember every one of them."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    file.write(info.tobuf(tarfile.USTAR_FORMAT))
    file.write(content)
    file.write(bytes(-len(content) % tarfile.BLOCKSIZE))

"""WebDataset shards: tar files in which ``key.png`` and ``key.cls`` (or ``key.json``) lie side by side.

See https://github.com/webdataset/webdataset: files that share everything up to the first dot of their names are
one sample.
"""

import json
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from trainer.data.archives import Member, read_members
from trainer.data.decoding import SUFFIXES, Picture, Unjoined, decode_all
from trainer.data.room import Room
from trainer.errors import DataError

_LABELS = frozenset({".cls", ".json"})
_JSON_KEYS = ("label", "cls", "class", "class_name")
_SNIFFED = 50


def is_shard(path: Path) -> bool:
    """Whether the first files of the tar file `path` are those of a shard."""
    try:
        with tarfile.open(path, "r|*") as archive:
            return any(PurePosixPath(info.name).suffix.lower() in _LABELS for info in islice(archive, _SNIFFED))
    except (OSError, EOFError, tarfile.TarError):
        return False


def read_shards(source: Path, files: list[Path], *, size: int | None, room: Room) -> Unjoined:
    """Every sample of `files`, and the labels as they are written.

    Raises:
        DataError: see `read_members` and `decode_all`; a sample without a picture or, beside labelled ones, a label.
    """
    labels: list[int | str | None] = []

    def pictures() -> Iterator[Picture]:
        for shard in files:
            for key, members in _samples(shard):
                found = [member for member in members if member.path.suffix.lower() in SUFFIXES]
                if len(found) != 1:
                    raise DataError(f"{shard}: sample {key!r} has {len(found)} pictures, 1 is needed")
                labels.append(_label(shard, members))
                yield Picture(f"{shard}: {found[0].path}", found[0].content, 0)

    images = decode_all(str(source), pictures(), (), size=size, room=room)
    known = [label for label in labels if label is not None]
    if known and len(known) < len(labels):
        raise DataError(f"{source}: {len(labels) - len(known)} of {len(labels)} samples have no label")
    return images, known, ()


def _samples(shard: Path) -> Iterator[tuple[str, list[Member]]]:
    """Members by key; those of a sample follow one another."""
    key: str | None = None
    members: list[Member] = []
    for member in read_members(shard, SUFFIXES | _LABELS):
        name = str(member.path.parent / member.path.name.partition(".")[0])
        if name != key and members:
            yield str(key), members
            members = []
        key = name
        members.append(member)
    if members:
        yield str(key), members


def _label(shard: Path, members: list[Member]) -> int | str | None:
    for member in members:
        suffix = member.path.suffix.lower()
        if suffix not in _LABELS:
            continue
        try:
            text = member.content.decode("utf-8").strip()
            if suffix == ".cls":
                return int(text) if text.lstrip("-").isdecimal() else text
            entry = json.loads(text)
        except ValueError as error:
            raise DataError(f"{shard}: {member.path} is no {suffix[1:]} label: {error}") from error
        for name in _JSON_KEYS:
            if isinstance(entry, dict) and isinstance(entry.get(name), int | str):
                value: int | str = entry[name]
                return value
    return None

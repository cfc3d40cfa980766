"""Parquet files in the Hugging Face layout, and WebDataset shards."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from service.files.archives import Member, Refused, read_members
from service.files.findings import Findings, Tally
from service.files.limits import FileLimits
from service.files.pictures import SUFFIXES, BadPicture, look_at

_IMAGE_COLUMNS, _LABEL_COLUMNS = ("image", "img"), ("label", "labels", "fine_label")
_JSON_KEYS = ("label", "cls", "class", "class_name")
_ROWS = 100


def inspect_parquet(path: Path, limits: FileLimits) -> Findings:
    """A column ``image`` of encoded pictures (binary, or a struct with ``bytes``) and, if any, a column ``label``.

    Raises:
        Refused: damaged, no such column, too many rows, a picture that cannot be used (none can be left out here).
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise Refused("this server reads no Parquet files: its operator has to install latentd[parquet]") from error
    tally = Tally("parquet")
    try:
        with ParquetFile(path) as table:
            if table.metadata.num_rows > limits.images:
                raise Refused(f"{table.metadata.num_rows:,} rows; allowed: up to {limits.images:,}")
            size = sum(table.metadata.row_group(group).total_byte_size for group in range(table.num_row_groups))
            if size > min(limits.unpacked_bytes, max(64 << 20, limits.ratio * path.stat().st_size)):
                raise Refused(f"its columns unpack to {size >> 20} MiB, too much for a file of its size")
            for row, (content, label) in enumerate(_rows(table)):
                if not isinstance(content, bytes):
                    raise Refused(f"row {row} holds no encoded picture")
                _add(tally, f"row {row}", content, label, limits)
    except (OSError, pyarrow.ArrowException) as error:
        raise Refused(f"it cannot be read: {str(error).splitlines()[0]}") from error
    return tally.finish()


def inspect_shard(path: Path, limits: FileLimits) -> Findings:
    """Samples of a picture and a ``.cls`` or ``.json`` beside it.

    Raises:
        Refused: see `read_members`; a sample without exactly one usable picture, or with a label that is none.
    """
    tally = Tally("webdataset")
    for key, group in groupby(read_members(path, limits), _key):
        members = list(group)
        pictures = [member for member in members if member.suffix in SUFFIXES]
        if len(pictures) != 1:
            raise Refused(f"sample {key[:200]!r} has {len(pictures)} pictures; allowed: 1")
        _add(tally, str(pictures[0].path), pictures[0].content, _label(members), limits)
        if tally.images > limits.images:
            raise Refused(f"more than {limits.images:,} samples")
    return tally.finish()


def _add(tally: Tally, name: str, content: bytes, label: object, limits: FileLimits) -> None:
    try:
        seen = look_at(content, limits.side)
    except BadPicture as error:
        raise Refused(f"{name[:200]}: {error}") from error
    tally.add(seen.width, seen.height, grey=seen.grey, label=None if label is None else str(label)[:200])


def _rows(table: Any) -> Iterator[tuple[object, object]]:
    columns = table.schema_arrow.names
    image = next((name for name in _IMAGE_COLUMNS if name in columns), None)
    label = next((name for name in _LABEL_COLUMNS if name in columns), None)
    if image is None:
        raise Refused(f"no column 'image'; its columns are {', '.join(columns)[:500]}")
    for batch in table.iter_batches(_ROWS, columns=[image, *([label] if label else [])]):
        contents = batch.column(0).to_pylist()
        labels = batch.column(1).to_pylist() if label else [None] * len(contents)
        for cell, value in zip(contents, labels, strict=True):
            yield cell.get("bytes") if isinstance(cell, dict) else cell, value


def _key(member: Member) -> str:
    return str(member.path.parent / member.path.name.partition(".")[0])


def _label(members: list[Member]) -> object:
    for member in members:
        try:
            if member.suffix == ".cls":
                return member.content.decode().strip()
            if member.suffix == ".json":
                entry = json.loads(member.content)
                return next((entry[key] for key in _JSON_KEYS if key in entry), None)
        except (ValueError, TypeError) as error:
            raise Refused(f"{str(member.path)[:200]}: no label: {error}") from error
    return None

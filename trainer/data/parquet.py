"""Parquet files in the Hugging Face layout: a column `image` of encoded pictures, a column `label`.

`image` is a struct of ``bytes`` and ``path``, or plain binary; `label` is an integer, whose names stand in the
schema's metadata, or text. See https://huggingface.co/docs/datasets/image_dataset.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.data.decoding import Picture, Unjoined, decode_all
from trainer.data.room import Room
from trainer.errors import DataError

_IMAGE_COLUMNS, _LABEL_COLUMNS = ("image", "img"), ("label", "labels", "fine_label")
_ROWS = 500


def read_parquet(source: Path, files: list[Path], *, size: int | None, room: Room) -> Unjoined:
    """Every row of `files`.

    Raises:
        DataError: not Parquet, no column of pictures, an empty cell, or a picture that cannot be read.
    """
    labels: list[int | str] = []
    names: tuple[str, ...] = ()

    def pictures() -> Iterator[Picture]:
        nonlocal names
        for file in files:
            names = names or _class_names(file)
            for row, (content, label) in enumerate(_rows(file)):
                if content is None:
                    raise DataError(f"{file}: row {row} has no picture; those kept as paths alone are not read")
                if label is not None:
                    labels.append(label)
                yield Picture(f"{file}: row {row}", content, 0)

    images = decode_all(str(source), pictures(), (), size=size, room=room)
    if labels and len(labels) != len(images):
        raise DataError(f"{source}: {len(images) - len(labels)} of {len(images)} rows have no label")
    return images, labels, names


def _rows(file: Path) -> Iterator[tuple[bytes | None, int | str | None]]:
    with _open(file) as table:
        columns = table.schema_arrow.names
        image = next((name for name in _IMAGE_COLUMNS if name in columns), None)
        label = next((name for name in _LABEL_COLUMNS if name in columns), None)
        if image is None:
            raise DataError(f"{file}: no column 'image'; its columns are {', '.join(columns)}")
        for batch in table.iter_batches(_ROWS, columns=[image, *([label] if label else [])]):
            contents = batch.column(0).to_pylist()
            labels = batch.column(1).to_pylist() if label else [None] * len(contents)
            for content, value in zip(contents, labels, strict=True):
                cell = content.get("bytes") if isinstance(content, dict) else content
                if cell is not None and not isinstance(cell, bytes):
                    raise DataError(f"{file}: column {image!r} holds no encoded pictures")
                if value is not None and not isinstance(value, int | str):
                    raise DataError(f"{file}: column {label!r} holds neither integers nor text")
                yield cell, value


def _class_names(file: Path) -> tuple[str, ...]:
    with _open(file) as table:
        metadata: dict[bytes, bytes] = table.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return tuple(str(name) for key in _LABEL_COLUMNS if key in features for name in features[key].get("names", ()))
    except (KeyError, TypeError, AttributeError, ValueError):
        return ()


def _open(file: Path) -> Any:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{file}: not a Parquet file: {str(error).splitlines()[0]}") from error

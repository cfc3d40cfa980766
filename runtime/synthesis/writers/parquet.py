"""Parquet in the layout of Hugging Face: `image` {bytes, path}, `label` with its names in the schema, and `seed`.

See https://huggingface.co/docs/datasets/image_dataset; the features in the schema's metadata are what `datasets`
itself writes.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from runtime.manifest import Output
from runtime.synthesis.drawing import Chunk
from runtime.synthesis.encoding import encode_row, file_name
from runtime.synthesis.errors import SynthesisError
from runtime.synthesis.plan import Part
from runtime.synthesis.writers.base import Target, WrittenFile, described, whole_file

_GROUP_BYTES, _GROUP_ROWS = 4 * 2**20, 1_000


class ParquetWriter:
    """``train-00000-of-00010.parquet``, …; one part is one file."""

    sharded: ClassVar[bool] = True
    encoded: ClassVar[bool] = True
    data_files: ClassVar[str | None] = "train-*.parquet"
    example: ClassVar[str] = """\
from datasets import load_dataset

data = load_dataset(".", split="train")
data[0]  # keys: image, {label_key}seed"""

    def __init__(self, target: Target) -> None:
        """See `Writer`.

        Raises:
            SynthesisError: pyarrow is not installed.
        """
        try:
            import pyarrow
        except ModuleNotFoundError as error:
            raise SynthesisError(
                "--format parquet needs the module 'pyarrow': pip install 'latentd[parquet]'"
            ) from error
        self._target = target
        self._format = target.plan.image_format or "png"
        self._schema = _schema(pyarrow, target.class_names)

    @staticmethod
    def refusal(_output: Output, _class_names: Sequence[str]) -> str | None:
        """It holds everything that image files hold."""
        return None

    def write(self, part: Part, chunks: Iterable[Chunk]) -> list[WrittenFile]:
        """See `Writer`. Rows leave memory in groups of 1,000, or of 4 MiB."""
        from pyarrow.parquet import ParquetWriter as FileWriter

        name = f"train-{part.index:05d}-of-{part.count:05d}.parquet"
        indexed = [field for field in self._schema.names if field != "image"]
        with (
            whole_file(self._target, name) as file,
            FileWriter(file, self._schema, use_dictionary=False, write_statistics=indexed) as table,
        ):
            group: list[dict[str, Any]] = []
            size = 0
            for row in self._rows(chunks):
                group.append(row)
                size += len(row["image"]["bytes"])
                if len(group) == _GROUP_ROWS or size >= _GROUP_BYTES:
                    self._flush(table, group)
                    size = 0
            if group:
                self._flush(table, group)
        return [described(self._target, name, len(part))]

    def finish(self) -> list[WrittenFile]:
        """Nothing remains."""
        return []

    def _rows(self, chunks: Iterable[Chunk]) -> Iterable[dict[str, Any]]:
        for chunk in chunks:
            for index in range(len(chunk)):
                seed = int(chunk.seeds[index])
                content = encode_row(chunk.images[index], self._format)
                row: dict[str, Any] = {"image": {"bytes": content, "path": file_name(seed, self._format)}, "seed": seed}
                yield row if chunk.labels is None else row | {"label": int(chunk.labels[index])}

    def _flush(self, table: Any, group: list[dict[str, Any]]) -> None:
        from pyarrow import RecordBatch

        table.write_batch(RecordBatch.from_pylist(group, schema=self._schema))
        group.clear()


def _schema(pyarrow: Any, class_names: Sequence[str]) -> Any:
    features: dict[str, dict[str, Any]] = {"image": {"_type": "Image"}}
    fields = [("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]))]
    if class_names:
        features["label"] = {"names": list(class_names), "_type": "ClassLabel"}
        fields.append(("label", pyarrow.int64()))
    features["seed"] = {"dtype": "int64", "_type": "Value"}
    fields.append(("seed", pyarrow.int64()))
    return pyarrow.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})

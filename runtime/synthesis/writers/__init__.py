"""One file per format, each with one class behind `Writer`."""

from runtime.synthesis.plan import Format
from runtime.synthesis.writers.base import Target, Writer, WrittenFile
from runtime.synthesis.writers.folder import FolderWriter
from runtime.synthesis.writers.idx import IdxWriter
from runtime.synthesis.writers.npz import NpzWriter
from runtime.synthesis.writers.parquet import ParquetWriter
from runtime.synthesis.writers.web_dataset import WebDatasetWriter

__all__ = ["WRITERS", "Target", "Writer", "WrittenFile"]

WRITERS: dict[Format, type[Writer]] = {
    "folder": FolderWriter,
    "webdataset": WebDatasetWriter,
    "parquet": ParquetWriter,
    "npz": NpzWriter,
    "idx": IdxWriter,
}

"""Formats of tables: each reader gives the names, types and rows of one file."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats.arrow_files import ArrowFile
from mlops_lib.loaders.formats.delimited import DelimitedFile
from mlops_lib.loaders.formats.delta import DeltaFile
from mlops_lib.loaders.formats.image_folder import ImageFolder
from mlops_lib.loaders.formats.json_rows import JsonFile

if TYPE_CHECKING:
    from mlops_lib.loaders.formats.data_file import DataFile
    from mlops_lib.settings.data import CsvSettings

#: Format of a folder of images, which no ending names.
IMAGES = "images"
Reader = ArrowFile | DelimitedFile | DeltaFile | JsonFile | ImageFolder


def reader(
    file: "DataFile",
    key: str,
    csv: "CsvSettings",
    missing: tuple[str, ...],
    labels: Collection[str] = (),
    references: Collection[str] = (),
) -> Reader:
    """The reader for a file.

    Args:
        file: The file.
        key: Column of entity keys.
        csv: Parts of the dialect of CSV files that are not to be recognised.
        missing: Texts that are no value.
        labels: Columns to predict.
        references: Columns of the reference beside the label.

    Raises:
        DataError: The file is empty.
    """
    if file.format == IMAGES:
        return ImageFolder(file)
    if file.format == "delta":
        return DeltaFile(file, key)
    if not file.path.stat().st_size:
        raise DataError(f"{file.shown} is empty: it has no bytes, so no header and no rows.")
    if file.format in ("csv", "tsv"):
        return DelimitedFile(file, csv, missing, key)
    return (
        JsonFile(file, key, labels, references) if file.format in ("json", "jsonl") else ArrowFile(file, key)
    )

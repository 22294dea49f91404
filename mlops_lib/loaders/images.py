"""Images in folders of classes, or named by tables: the rows have the bytes of each file."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from mlops_lib.errors import DataError
from mlops_lib.loaders.files import LocalDataLoader
from mlops_lib.loaders.formats.data_file import DataFile
from mlops_lib.loaders.formats.image_folder import IMAGE, KEY
from mlops_lib.loaders.image_rows import ImageRows
from mlops_lib.loaders.reading import SplitFiles
from mlops_lib.loaders.rows import Rows
from mlops_lib.loaders.sources import Source
from mlops_lib.loaders.sources.image_source import ImageSource, open_images


class ImageFiles(SplitFiles):
    """Images as the rows of `SplitFiles`."""

    @cached_property
    def source(self) -> Source:
        """The files, wherever they are."""
        return open_images(self.path, self.remote_folder, self.password)

    def contents(self) -> Mapping[str, Path | str]:
        own = self.source.contents()
        return own if isinstance(self.source, ImageSource) else {**own, **self.rows.images}  # type: ignore[union-attr]

    @property
    def image_columns(self) -> list[str]:
        """The columns that hold images."""
        return [IMAGE] if isinstance(self.source, ImageSource) else self.rows.image_columns  # type: ignore[union-attr]

    @property
    def has_paths(self) -> bool:
        """Whether the path of a row's image is the column ``key``."""
        return isinstance(self.source, ImageSource) or self.rows.adds_key  # type: ignore[union-attr]

    def _rows(self, files: list[DataFile]) -> Rows | ImageRows:
        if isinstance(self.source, ImageSource):
            return super()._rows(files)
        return ImageRows(self.source, files, **self._read_options)


class ImagesDataLoader(LocalDataLoader):
    """Images with a folder for each class (``cat/1.png``), also below train, validation and test;
    or tables of them.

    Of folders, the columns are ``key`` (the path), ``image`` and ``label`` (the folder's name). Of a table,
    those that it has: a column of paths, relative to the table's folder, becomes the bytes of the files.
    Files of other formats and broken ones are named before anything is trained
    (`mlops_lib.columns.image_checks`).

    Args:
        path: A folder, or a table.
        more: Those of `LocalDataLoader`.

    Raises:
        DataError: The key is a column of images.
    """

    open: ClassVar[type[SplitFiles]] = ImageFiles

    def __init__(self, path: str | Path, **more: Any) -> None:
        super().__init__(path, **more)
        source: ImageFiles = self.source  # type: ignore[assignment]
        given = source.options
        if given.key in source.image_columns:
            raise DataError(
                f"data.key names {given.key!r}, a column of images. Leave data.key out, and the path of an image is its key; or name "
                "a column that tells entities apart."
            )
        key = given.key or (KEY if source.has_paths else "")
        kinds = dict.fromkeys(source.image_columns, "image") | dict(given.kinds)
        source.options = replace(given, key=key, kinds=kinds)
        self.declared = source.options.declared

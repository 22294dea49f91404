"""Where images come from: folders of classes, or tables with the paths of files beside them."""

import os
from collections.abc import Sequence
from pathlib import Path
from unicodedata import normalize

from mlops_lib.errors import DataError
from mlops_lib.loaders.formats import IMAGES
from mlops_lib.loaders.formats.data_file import DataFile, format_of
from mlops_lib.loaders.formats.image_folder import is_image_row
from mlops_lib.loaders.sources import Source, open_source
from mlops_lib.loaders.sources.discovery import is_beside
from mlops_lib.loaders.sources.ready_made import EVALUATION, by_split, split_named

#: Endings of images, of which one may lie beside the folders of classes by mistake.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


class ImageSource(Source):
    """A folder with a folder for each class; or train, validation and test above them."""

    def find(self, names: Sequence[str]) -> tuple[list[DataFile], list[str]]:
        """The folder, or a folder for each split, as files of rows; and the names of all images."""
        rows = sorted(name for name in names if is_image_row(name))
        self._require_folders([name for name in rows if "/" not in name and not _is_document(name)])
        rows = [name for name in rows if "/" in name]
        if not rows:
            raise DataError(f"Data source {self.shown} has no images: no folder in it has a file.")
        tops = list(dict.fromkeys(name.partition("/")[0] for name in rows))
        folders = [DataFile(self.root / top, f"{self.shown}/{top}", IMAGES, prefix=f"{top}/") for top in tops]
        direct = [name for name in rows if name.count("/") == 1 and not _is_document(name)]
        if len(direct) < len(rows) and (not direct or all(map(_is_split, tops))):
            self._require_folders(direct)
            if by_split(self.root, folders, self.shown, ()):
                return folders, [name for name in rows if name.count("/") > 1]
            if len(tops) == 1:
                raise DataError(
                    f"{self.shown} has one folder, {tops[0]!r}, with folders in it. If those are the classes, set data.source "
                    f"to {self.shown}/{tops[0]}."
                )
        return [DataFile(self.root, self.shown, IMAGES)], rows

    def _require_folders(self, loose: Sequence[str]) -> None:
        if loose:
            raise DataError(
                f"{self.shown} has {len(loose)} files that lie in no class's folder, such as {loose[0]!r}. The name of a "
                "folder is the label of its images: cat/1.png, or train/cat/1.png."
            )


def open_images(path: str | Path, cache: Path | None = None, password: str = "") -> Source:
    """The source of images at a path or an address: class folders, or tables if there are any.

    Raises:
        DataError: There is nothing, or it cannot be reached, or a remote table is named without its folder.
    """
    source = open_source(path, cache, password, kind=_kind_of)
    if source.remote and not source.is_folder:
        raise DataError(
            f"{source.shown} is one file. Set data.source to its folder, which has the images too."
        )
    return source


def _is_document(name: str) -> bool:
    own = name.rpartition("/")[2]
    return is_beside(own) and not own.lower().endswith(ENDINGS)


def _is_split(folder: str) -> bool:
    return split_named(folder) is not None or folder.lower() in EVALUATION


def _kind_of(names: Sequence[str]) -> type[Source]:
    """`Source` for a folder with tables."""
    own = (name.rpartition("/")[2] for name in names if is_image_row(name))
    return Source if any(format_of(name)[0] and not is_beside(name) for name in own) else ImageSource


def is_image_folder(found: Sequence[str]) -> bool:
    """Whether a folder with files of these names holds images in folders of classes, and no tables."""
    names = [name for name in found if is_image_row(name)]
    images = sum(name.lower().endswith(ENDINGS) for name in names if "/" in name)
    return images > len(names) / 2 and _kind_of(names) is ImageSource


class ImagesBeside:
    """The images that a table names, relative to its folder.

    Args:
        source: Of the table.
        file: The table.
    """

    def __init__(self, source: Source, file: DataFile) -> None:
        self._source, self.folder = source, file.path.parent

    def name(self, path: str) -> str:
        """The name of a file below the source's folder, in the form that the file system has; "" if there is none."""
        for form in (path, normalize("NFC", path), normalize("NFD", path)):
            parts = form.split("/")
            if ".." in parts or form.startswith("/") or "\0" in form:
                return ""
            if remote := self._source.remote:
                is_there = self._remote_name(form) in remote.versions
            else:
                is_there = os.path.isfile(self.folder / form)  # False for a name that is too long
            if is_there:
                return form
        return ""

    def version(self, name: str) -> Path | str:
        """The path of an image, or the version that the server gives it."""
        remote = self._source.remote
        return remote.versions[self._remote_name(name)] if remote else self.folder / name

    def read(self, names: Sequence[str | None]) -> list[bytes | None]:
        """The bytes of images; None for no image."""
        if self._source.remote:
            self._source.remote.fetch(self._remote_name(name) for name in names if name)
        return [(self.folder / name).read_bytes() if name else None for name in names]

    def _remote_name(self, name: str) -> str:
        return (self.folder / name).relative_to(self._source.root).as_posix()

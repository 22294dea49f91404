"""Write a project: config.yaml and the notebooks. A file that exists is never changed."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

import mlops_lib
from mlops_lib import config
from mlops_lib.errors import ConfigError
from mlops_lib.settings.pipeline import PipelineSettings

#: The notebooks that each project gets a copy of: a link to notebooks/ in a checkout, a folder in a wheel.
NOTEBOOKS = Path(mlops_lib.__file__).parent / "template"


def check_folder(folder: Path, others: Collection[str] = ()) -> None:
    """Raise a ConfigError unless a project can be written to `folder` without changing a file.

    Args:
        others: Paths of further files of the project, from `folder`.
    """
    if folder.is_file():
        raise ConfigError(
            f"{folder} is a file, and the first argument is the folder of the new project. For example: "
            f"mlops init {folder.stem or 'churn'}-project --source {folder}"
        )
    file = folder / "config.yaml"
    if file.exists():
        raise ConfigError(f"{file} is there already. Choose another folder, or edit that file.")
    notebooks = folder / "notebooks"
    if notebooks.is_file():
        raise ConfigError(f"{notebooks} is a file, and the notebooks go there. Choose another folder.")
    other = [name for name, content in _templates().items() if _differs(notebooks / name, content)]
    if other:
        raise ConfigError(
            f"{notebooks} has notebooks of your own with the names of the platform's: {', '.join(other)}. They were "
            "left as they are. Choose another folder, or rename them."
        )
    if taken := [name for name in others if (folder / name).exists()]:
        raise ConfigError(
            f"{folder} has files of yours where the template has its own: {', '.join(taken)}. They were left as they "
            "are. Choose an empty folder, or rename them."
        )
    above = next(path for path in (notebooks, folder, *folder.resolve().parents) if path.exists())
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise ConfigError(f"{above} cannot be written to, so {folder} cannot be made. Choose another folder.")


def lacks_notebooks(folder: Path) -> bool:
    """Whether `folder` has a config.yaml that somebody wrote, and no notebooks yet."""
    return (folder / "config.yaml").is_file() and not (folder / "notebooks").exists()


def add_notebooks(folder: Path) -> Path:
    """Write the notebooks of a project that has its config.yaml; after an error nothing is left. Returns their folder.

    Raises:
        ConfigError: The folder cannot be written to.
    """
    notebooks = folder / "notebooks"
    with _undone(folder) as made:
        _make_folder(notebooks, made)
        for name, content in _templates().items():
            made.append(notebooks / name)
            (notebooks / name).write_bytes(content)
    return notebooks


def write(folder: Path, text: str, others: Mapping[str, bytes] | None = None) -> list[str]:
    """Write config.yaml with `text`, and the notebooks that are not there; after an error nothing is left.

    Args:
        others: Further files, by their path from `folder`.

    Returns:
        Environment variables that win over a setting in `text`.

    Raises:
        ConfigError: A file has come into being meanwhile, or cannot be written.
    """
    files = {folder / "notebooks" / name: content for name, content in _templates().items()}
    files |= {folder / name: content for name, content in (others or {}).items()}
    files[folder / "config.yaml"] = text.encode()
    with _undone(folder) as made:
        for file, content in files.items():
            if file.parent == folder / "notebooks" and file.exists():  # the same, as `check_folder` found
                continue
            _make_folder(file.parent, made)
            with file.open("xb") as stream:
                made.append(file)
                stream.write(content)
        origins = config.load_with_origins(folder / "config.yaml").origins
    written = yaml.safe_load(text)
    return [
        origin.removeprefix("environment ")
        for key, origin in origins.items()
        if origin.startswith("environment ") and key.split(".")[-1] in written.get(key.split(".")[0], {})
    ]


@contextmanager
def without_work_files_after_an_error(folder: Path) -> Iterator[None]:
    """When the block fails, remove the work folder of a new project, which holds copies of remote files."""
    work = folder / PipelineSettings().work_dir
    above = [path for path in (work, folder, *folder.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        if work in above:
            shutil.rmtree(work, ignore_errors=True)
        for path in above[1:]:
            with suppress(OSError):  # not made, or not empty
                path.rmdir()
        raise


@contextmanager
def _undone(folder: Path) -> Iterator[list[Path]]:
    """Collects paths in the order they are made; when the block fails, they are removed."""
    made: list[Path] = []
    try:
        yield made
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):  # a folder that something else has written to meanwhile
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise ConfigError(f"The project cannot be written to {folder}: {error}.") from None
        raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        folder.mkdir()
        made.append(folder)


def _templates() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(NOTEBOOKS.glob("[!.]*")) if file.is_file()}


def _differs(file: Path, content: bytes) -> bool:
    return file.exists() and (not file.is_file() or file.read_bytes() != content)

"""Where the code of a graph is, from ``model.implementation``: a folder, a file, or a module."""

import sys
from pathlib import Path
from typing import NamedTuple

from mlops_lib.errors import TrainingError
from mlops_lib.settings import Settings
from mlops_lib.wrappers.code.own_code import LIBRARY
from mlops_lib.wrappers.code.source_imports import place_of, place_on

FORMS = (
    "Write a file and a name in it (my_agent.py:graph), a module and a name (package.module:graph), or a folder with "
    "langgraph.py"
)


class Source(NamedTuple):
    """Where a graph is.

    Attributes:
        module: Dotted name of its module; "" for a folder.
        name: Name of the graph in the module.
        path: Folders in which its imports look first; of a folder with langgraph.py, that folder.
    """

    module: str
    name: str
    path: list[Path]


def source_of(config: Settings) -> Source:
    """Where the graph of ``model.implementation`` is. Imports nothing.

    Raises:
        TrainingError: There is no such folder, file or module, or its name cannot be imported.
    """
    implementation = config.model.implementation
    if config.path(implementation).is_dir():
        return Source("", "build", [config.path(implementation)])
    where, colon, name = implementation.rpartition(":")
    if not colon or not name.isidentifier():
        raise TrainingError(f"model.implementation is {implementation!r}. {FORMS}.")
    if where.endswith(".py"):
        file = config.path(where)
        if not file.is_file():
            raise TrainingError(f"model.implementation names {file}, which does not exist. {FORMS}.")
        module, root = _module_of(file)
        return Source(module, name, _folders(root, config))
    path = _folders(config.root, config)
    if not all(part.isidentifier() for part in where.split(".")):
        raise TrainingError(f"model.implementation is {implementation!r}. {FORMS}.")
    return Source(where, name, path)


def _module_of(file: Path) -> tuple[str, Path]:
    """The dotted name of a file, from the folder above its outermost package; and that folder."""
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").is_file():
        root, parts = root.parent, [root.name, *parts]
    if parts[-1] == "__init__":
        parts.pop()
    for part in parts:
        if not part.isidentifier():
            raise TrainingError(
                f"{file} cannot be imported: {part!r} is no name of a module. Rename it to {part.replace('-', '_')!r}."
            )
    top = parts[0]
    if top in sys.stdlib_module_names or top in (LIBRARY, "langgraph"):
        raise TrainingError(f"{file} hides the module {top!r} of another package. Rename the file.")
    return ".".join(parts), root


def _folders(root: Path, config: Settings) -> list[Path]:
    """The folders in which the imports of a graph look first: its own, the project's and its ``src``."""
    folders = [root, config.root.resolve(), config.root.resolve() / "src"]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def require_module(source: Source) -> None:
    """Raise TrainingError unless the module of a source can be found. Imports nothing."""
    top = source.module.partition(".")[0]
    if place_on(source.path, top) is None and place_of(top) is None:
        places = ", ".join(map(str, source.path))
        raise TrainingError(
            f"model.implementation names the module {source.module!r}, which is not in {places}."
        )

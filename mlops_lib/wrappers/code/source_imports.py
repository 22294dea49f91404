"""Modules and their imports, read from the source; nothing is imported."""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path


def place_of(top: str) -> Path | None:
    """The file of a top-level module or the folder of a package, as an import would find it;
    imports nothing."""
    spec = None
    with suppress(ValueError, ImportError):  # a loaded module without a spec
        spec = importlib.util.find_spec(top)
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def place_on(path: Sequence[Path], top: str) -> Path | None:
    """The file or folder of a top-level module in one of these folders.

    As for Python, a folder without ``__init__.py`` gives way to a module of its name anywhere,
    and a folder without any module is none.
    """
    spec = PathFinder.find_spec(top, [str(folder) for folder in path]) if path else None
    if spec is None:
        return None
    if spec.has_location and spec.origin:
        file = Path(spec.origin)
        return file.parent if spec.submodule_search_locations else file
    folder = Path(next(iter(spec.submodule_search_locations or ())))
    elsewhere = place_of(top)
    return folder if elsewhere in (None, folder) and next(folder.rglob("*.py"), None) else None


def files_of(place: Path) -> Iterator[Path]:
    """A module's file, or the files of a package without compiled and hidden ones."""
    if place.is_file():
        yield place
        return
    for path in place.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__" or (path / "pyvenv.cfg").exists():
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not place.resolve().is_relative_to(path.resolve()):  # no link to itself
            yield from files_of(path)


def imports_in(file: Path, package: str) -> Iterator[tuple[str, bool]]:
    """The dotted names that a module imports, and whether only when a function runs.

    ``from a import b`` gives ``a`` and ``a.b``.

    Args:
        file: Its source.
        package: Name of the package that relative imports start from; "" for a top-level module.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        late = id(node) in inner
        if isinstance(node, ast.Import):
            yield from ((alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield base, late
            yield from ((f"{base}.{alias.name}", late) for alias in node.names)


def files_on_import(place: Path, name: str) -> Iterator[tuple[Path, str]]:
    """The files that an import of `name` runs, each with the package that its relative imports start from.

    Args:
        place: As of `place_of` the first part of the name.
        name: A dotted name; its last part may be an object in a module.
    """
    top, *rest = name.split(".")
    if place.is_file():
        yield place, ""
        return
    package = top
    if (file := place / "__init__.py").is_file():
        yield file, package
    for part in rest:
        if (file := place / f"{part}.py").is_file():
            yield file, package
            return
        place, package = place / part, f"{package}.{part}"
        if (file := place / "__init__.py").is_file():
            yield file, package

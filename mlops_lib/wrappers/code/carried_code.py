"""Import the modules that a logged model carries, without mixing them up with those of another version."""

import filecmp
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mlops_lib.wrappers.code.own_code import LIBRARY
from mlops_lib.wrappers.code.private_modules import LOCK, PrivateModules, modules_of, path_with
from mlops_lib.wrappers.code.source_imports import files_of, imports_in, place_of

#: Whether this process has one model for as long as it lasts.
_one_model = False


def expect_one_model() -> None:
    """From now on, the modules of the next model stay importable, also inside its functions, and hide others.

    For a process that loads one model and no second one.
    """
    global _one_model
    _one_model = True


@contextmanager
def carried_code(folder: Path, alone: bool = False) -> Iterator[PrivateModules | None]:
    """Imports in the block find the modules that the model in `folder` carries.

    Where the process has, or would find, another module of the same name, the carried ones are
    imported for this model alone, and are not in `sys.modules` afterwards. Imports in their
    functions find them all the same.

    Args:
        folder: It has the modules in a folder ``code``.
        alone: The carried modules are this model's alone in any case, since they read files beside them.

    Yields:
        The modules that are this model's alone; None: those of the process serve.

    Raises:
        ImportError: A module or a distribution is missing.
    """
    places = _places(folder / "code")
    try:
        if not places:
            yield None
            return
        if _one_model:
            _give_way(places)
            sys.path.insert(0, str(folder / "code"))
            importlib.invalidate_caches()
            yield None
            return
        with LOCK:
            others = {name: found for name in places if (found := place_of(name))}
            if alone or any(not _same(places[name], found) for name, found in others.items()):
                own = PrivateModules(folder / "code", places)
                with own.active():
                    yield own
            else:  # other imports of the process go on finding the code that is here, which is the same
                for name in others:
                    importlib.import_module(name)
                with path_with(folder / "code"):
                    yield None
                    _import_late(places)
    except ImportError as error:
        raise ImportError(f"{error}{_missing(folder)}") from error


def _give_way(places: Mapping[str, Path]) -> None:
    """Forget the loaded modules that have the name of a carried one, and other code."""
    loaded = {name for name in places if name in sys.modules}
    others = [name for name in loaded if not (found := place_of(name)) or not _same(places[name], found)]
    for name in modules_of(others):
        del sys.modules[name]


def _places(code: Path) -> dict[str, Path]:
    """Carried modules by name; not those of Python and of this library, which the process has."""
    found = code.iterdir() if code.is_dir() else ()
    names = {p.name.partition(".")[0]: p for p in found if p.is_dir() or p.suffix in (".py", ".so", ".pyd")}
    return {name: p for name, p in names.items() if name not in {*sys.stdlib_module_names, LIBRARY}}


def _same(carried: Path, other: Path) -> bool:
    """Whether the other module or package has every carried file, with the same bytes."""
    if carried == other:
        return True
    for file in files_of(carried):
        try:
            if not filecmp.cmp(file, other / file.relative_to(carried), shallow=False):
                return False
        except OSError:
            return False
    return True


def _late(file: Path, names: Iterable[str], package: str = "") -> list[str]:
    """The carried modules that functions of a module import."""
    return [name for name, late in imports_in(file, package) if late and name.partition(".")[0] in names]


def _import_late(names: Iterable[str]) -> None:
    """Import what functions of the loaded modules import later,
    when the model's folder is no longer on the path."""
    seen: set[str] = set()
    while todo := {name: module for name, module in modules_of(names).items() if name not in seen}:
        seen |= set(todo)
        for module in todo.values():
            for name in _late(Path(module.__file__ or ""), names, module.__package__ or ""):
                with suppress(
                    Exception
                ):  # it may name an object, or need a package for plots: it is not needed yet
                    importlib.import_module(name)


def _missing(folder: Path) -> str:
    """The end of an error message: the model's requirements that are not installed."""
    try:
        lines = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    missing = []
    for line in lines:
        name, pinned, _ = line.partition("==")
        try:
            version(name)
        except (PackageNotFoundError, ValueError):
            missing += [line] if pinned else []
    return f". The model needs what is not installed here: pip install {' '.join(missing)}" if missing else ""

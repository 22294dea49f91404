"""Import the modules that a logged model carries, without mixing them up with those of another version."""

import filecmp
import importlib
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from mlops_lib.wrappers.own_code import LIBRARY
from mlops_lib.wrappers.source_imports import files_of, imports_in, place_of

#: `sys.modules` and `sys.path` belong to the process.
_LOCK = threading.RLock()
#: Whether this process has one model for as long as it lasts.
_one_model = False


def expect_one_model() -> None:
    """From now on, the modules of the next model stay importable, also inside its functions, and hide others.

    For a process that loads one model and no second one.
    """
    global _one_model
    _one_model = True


@contextmanager
def carried_code(folder: Path) -> Iterator[None]:
    """Imports in the block find the modules that the model in `folder` carries.

    Where the process has, or would find, another module of the same name, the carried ones are imported for this
    model alone, and are not in `sys.modules` afterwards.

    Raises:
        ImportError: A module or a distribution is missing; or the modules would have to be this model's alone, and
            a function imports one of them later, when the name stands for another.
    """
    places = _places(folder / "code")
    try:
        if not places:
            yield
            return
        if _one_model:
            _give_way(places)
            sys.path.insert(0, str(folder / "code"))
            importlib.invalidate_caches()
            yield
            return
        with _LOCK:
            others = {name: found for name in places if (found := place_of(name))}
            if any(not _same(places[name], found) for name, found in others.items()):
                _refuse_late_imports(places, others)
                with _modules_of_one_model(places), _path_with(folder / "code"):
                    yield
            else:  # other imports of the process go on finding the code that is here, which is the same
                for name in others:
                    importlib.import_module(name)
                with _path_with(folder / "code"):
                    yield
                    _import_late(places)
    except ImportError as error:
        raise ImportError(f"{error}{_missing(folder)}") from error


def _give_way(places: Mapping[str, Path]) -> None:
    """Forget the loaded modules that have the name of a carried one, and other code."""
    loaded = {name for name in places if name in sys.modules}
    others = [name for name in loaded if not (found := place_of(name)) or not _same(places[name], found)]
    for name in _modules(others):
        del sys.modules[name]


@contextmanager
def _modules_of_one_model(names: Iterable[str]) -> Iterator[None]:
    hidden = _modules(names)
    for name in hidden:
        del sys.modules[name]
    try:
        yield
    finally:
        for name in _modules(names):
            del sys.modules[name]
        sys.modules.update(hidden)


@contextmanager
def _path_with(code: Path) -> Iterator[None]:
    path, bytecode = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # compiled files would change the digest of the service's cache
    sys.path.insert(0, str(code))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, bytecode


def _places(code: Path) -> dict[str, Path]:
    """Carried modules by name; not those of Python and of this library, which the process has."""
    found = code.iterdir() if code.is_dir() else ()
    names = {p.name.partition(".")[0]: p for p in found if p.is_dir() or p.suffix in (".py", ".so", ".pyd")}
    return {name: p for name, p in names.items() if name not in {*sys.stdlib_module_names, LIBRARY}}


def _modules(names: Iterable[str]) -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}


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


def _refuse_late_imports(places: Mapping[str, Path], others: Mapping[str, Path]) -> None:
    """Raise ImportError if a function in this model's modules, or in loaded ones of these names, imports one later."""
    for place in (*places.values(), *(place for name, place in others.items() if name in sys.modules)):
        for file in files_of(place):
            package = ".".join([place.name, *file.parent.relative_to(place).parts]) if place.is_dir() else ""
            if file.suffix == ".py" and (late := _late(file, places, package)):
                raise ImportError(
                    f"The process has a module of the same name as one that this model carries, with other code, and "
                    f"{file} imports {late[0]} inside a function, where it could get the wrong one. Restart the process "
                    "(the service, for example), or move the import to the top of the file."
                )


def _import_late(names: Iterable[str]) -> None:
    """Import what functions of the loaded modules import later, when the model's folder is no longer on the path."""
    seen: set[str] = set()
    while todo := {name: module for name, module in _modules(names).items() if name not in seen}:
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

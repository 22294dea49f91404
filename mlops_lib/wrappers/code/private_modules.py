"""Modules of one model, apart from modules of the same names in the process."""

import builtins
import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

#: `sys.modules` and `sys.path` belong to the process.
LOCK = threading.RLock()


class PrivateModules:
    """The modules in a folder, in `sys.modules` only while they are `active`.

    Python's import statement calls ``__import__`` of the builtins of the module that it is in. The
    private modules have builtins of their own, so that imports inside functions find private
    modules too, long after the load.

    Args:
        code: The folder.
        names: Its top-level modules and packages.
    """

    def __init__(self, code: Path, names: Iterable[str]) -> None:
        self._code, self._names = code, frozenset(names)
        self._modules: dict[str, ModuleType] = {}
        self._is_active = False
        #: For modules whose imports find the private ones.
        self.builtins = {**vars(builtins), "__import__": self._import}

    @contextmanager
    def active(self) -> Iterator[None]:
        """Imports of the names find the private modules in the block."""
        with LOCK:
            if self._is_active:
                yield
                return
            hidden = modules_of(self._names)
            for name in hidden:
                del sys.modules[name]
            sys.modules.update(self._modules)
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]
            self._is_active = True
            try:
                with path_with(self._code):
                    yield
            finally:
                self._is_active = False
                sys.meta_path.remove(self)  # type: ignore[arg-type]
                self._modules = modules_of(self._names)
                for name in self._modules:
                    del sys.modules[name]
                sys.modules.update(hidden)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a private module is; of Python's protocol for finders."""
        if name.partition(".")[0] not in self._names:
            return None
        spec = PathFinder.find_spec(name, [str(self._code)] if path is None else path, target)
        if spec and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(self.builtins, spec.loader)
        return spec

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        package = (globals or {}).get("__package__") or ""
        absolute = importlib.util.resolve_name("." * level + name, package) if level else name
        if absolute.partition(".")[0] not in self._names:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        with self.active():
            return builtins.__import__(name, globals, locals, fromlist or (), level)


class _Loader(SourceFileLoader):
    def __init__(self, found: dict[str, Any], loader: SourceFileLoader) -> None:
        super().__init__(loader.name, str(loader.path))
        self._builtins = found

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._builtins
        super().exec_module(module)


@contextmanager
def path_with(code: Path) -> Iterator[None]:
    """Put a folder first on the path for the block; imports write no compiled files."""
    path, bytecode = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # compiled files would change the digest of the service's cache
    sys.path.insert(0, str(code))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, bytecode


def modules_of(names: Iterable[str]) -> dict[str, ModuleType]:
    """The loaded modules with these names, and those inside them."""
    return {name: module for name, module in sys.modules.copy().items() if name.partition(".")[0] in names}

"""Imports of a graph's modules by name, after its load: a stored state names the classes of its objects."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from mlops_lib.wrappers.code.private_modules import LOCK

if TYPE_CHECKING:
    from mlops_lib.wrappers.code.private_modules import PrivateModules

#: The module of a ``langgraph.py`` is called this and a part of the file's digest.
PREFIX = "mlops_graph_"


@contextmanager
def importable(module: Any, own: "PrivateModules | None") -> Iterator[None]:
    """Imports by name find a graph's modules in the block; a ``langgraph.py`` also by the
    name that another version has.

    Args:
        module: The module with the graph.
        own: Its other modules, where they are its alone.
    """
    finder = _OtherVersions(module)
    with LOCK, own.active() if own else nullcontext():
        sys.meta_path.append(finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            for name in finder.found:
                sys.modules.pop(name, None)


class _OtherVersions(MetaPathFinder, Loader):
    """Finds one module under all names that `_import` may give."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.found: list[str] = []

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if not name.startswith(PREFIX):
            return None
        self.found.append(name)
        return ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> Any:
        return self._module

    def exec_module(self, module: Any) -> None:
        """Nothing: the module has run."""

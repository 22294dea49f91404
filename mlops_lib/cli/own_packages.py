"""Import the platform's packages `pipelines` and `serving` from beside this library,
whatever the project has."""

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

NAMES = ("pipelines", "serving")


def prefer() -> None:
    """Let no `serving.py` or folder `pipelines` of a project take the place of the platform's package.

    The project's folder is on the path behind installed packages,
    but before those of an editable installation.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [str(Path(__file__).parents[2])]) if fullname in NAMES else None

"""An extension as CONTRIBUTING describes it: one file on the import path and one line in the plugin table."""

import sys
from collections.abc import Callable, Iterator

import pytest

from mlops_lib import plugins


@pytest.fixture
def extend(stored, monkeypatch) -> Iterator[Callable[..., None]]:
    """`extend(kind, name, attribute, source)` writes the file and adds the line, for one test."""
    modules = []

    def extend(kind: str, name: str, attribute: str, source: str, **line: str) -> None:
        module = f"toy_{kind}"
        (stored.root / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(stored.root)
        monkeypatch.setitem(plugins.TABLE[kind], name, plugins.Plugin(f"{module}:{attribute}", **line))
        modules.append(module)

    yield extend
    for module in modules:
        sys.modules.pop(module, None)

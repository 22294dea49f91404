"""The code of a graph: ``langgraph.py`` with a function ``build(package)``, imported under its own name."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import ModelError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph import StateGraph


@dataclass(frozen=True)
class GraphPackage:
    """The argument of ``build``.

    Attributes:
        config: Content of config.json.
        prompts: Content of prompts.yaml.
        folder: Folder of the package's other files.
        chat_model: ``provider:model`` and parameters -> LangChain chat model with retries and accounting.
    """

    config: dict[str, Any]
    prompts: dict[str, str]
    folder: Path
    chat_model: "Callable[..., BaseChatModel]"


def build_graph(package: GraphPackage) -> "StateGraph":
    """The graph that the package's ``langgraph.py`` builds, not compiled yet.

    Raises:
        ModelError: The file cannot be run, has no ``build``, or ``build`` returns something else.
    """
    with real_langgraph():
        from langgraph.graph import StateGraph
    module = _import(package.folder / "langgraph.py")
    if not callable(build := getattr(module, "build", None)):
        raise ModelError("langgraph.py has no function build(package) that returns a StateGraph.")
    graph = build(package)
    if not isinstance(graph, StateGraph):
        raise ModelError(
            f"build(package) returned a {type(graph).__name__}. Return the StateGraph itself, not "
            "compiled: the platform adds the checkpointer."
        )
    return graph


@contextmanager
def real_langgraph() -> Iterator[None]:
    """Imports of ``langgraph`` in the block find the package, not the ``langgraph.py`` of a graph.

    The package is a namespace package, so a file of its name anywhere on the path would hide it.
    """
    hidden = [entry for entry in sys.path if (Path(entry or ".") / "langgraph.py").is_file()]
    if getattr(sys.modules.get("langgraph"), "__file__", None):
        raise ModelError(
            f"{sys.modules['langgraph'].__file__} was imported as 'langgraph' and hides the package. Take its "
            "folder off sys.path."
        )
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if entry not in hidden]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _import(file: Path) -> Any:
    name = f"mlops_graph_{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    # LangGraph resolves the annotations of a state in the module of this name.
    sys.modules[name] = module
    try:
        with real_langgraph():
            spec.loader.exec_module(module)
    except Exception as error:  # a user's own file may raise anything
        del sys.modules[name]
        raise ModelError(f"langgraph.py cannot be run: {type(error).__name__}: {error}") from error
    return module

"""The code of a packaged graph, imported: a graph of LangGraph, an entrypoint, or a Runnable of LangChain."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlops_lib.errors import ModelError
from mlops_lib.llm.transport import loop
from mlops_lib.wrappers.code.carried_code import carried_code
from mlops_lib.wrappers.graph.modules import PREFIX, importable

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from mlops_lib.wrappers.code.private_modules import PrivateModules

#: In a package: the folder of the user's own modules, the key of config.json with ``module:name``,
#: and the file of a graph that is a folder.
CODE, ENTRY, FOLDER_FILE = "code", "implementation", "langgraph.py"


@dataclass(frozen=True)
class GraphPackage:
    """The argument of a function that builds a graph.

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


class BuiltGraph(NamedTuple):
    """A compiled graph or a Runnable, and a context in which its modules can be imported by name."""

    graph: Any
    importable: Callable[[], AbstractContextManager[None]]


def build_graph(package: GraphPackage) -> BuiltGraph:
    """The graph that the package's code defines or returns; a StateGraph is compiled.

    Raises:
        ModelError: The code cannot be run, has no such name, or defines something else.
    """
    with real_langgraph():
        from langchain_core.runnables import Runnable
        from langgraph.graph import StateGraph
    entry = package.config.get(ENTRY, "")
    is_folder = (package.folder / FOLDER_FILE).is_file()
    module_name, _, name = ("", "", "build") if is_folder else entry.partition(":")
    shown = FOLDER_FILE if is_folder else entry.partition(":")[0]
    try:
        with carried_code(package.folder, alone=True) as own, real_langgraph():
            if is_folder:
                module = _import(package.folder / FOLDER_FILE, own)
            else:
                module = importlib.import_module(module_name)
            if not hasattr(module, name):
                raise ModelError(f"{shown} has no {name!r}.{_others(module, (StateGraph, Runnable))}")
            found = getattr(module, name)
            if callable(found) and not isinstance(found, (StateGraph, Runnable)):
                found = _called(found, package)
            if not isinstance(found, (StateGraph, Runnable)):
                raise ModelError(
                    f"{name} of {shown} gives a {type(found).__name__}. It must be a graph of LangGraph (compiled or not), an "
                    "@entrypoint, a Runnable of LangChain, or a function that returns one; RunnableLambda(f) makes a Runnable "
                    "of a function f."
                )
            graph = found.compile() if isinstance(found, StateGraph) else found
            return BuiltGraph(graph, partial(importable, module, own))
    except ModelError:
        raise
    except (Exception, SystemExit) as error:  # a user's own file may raise anything
        raise ModelError(f"{shown} cannot be run: {type(error).__name__}: {error}") from error


def _called(function: Any, package: GraphPackage) -> Any:
    """What a function returns: without an argument, with the package, or with LangGraph's config."""
    arguments: list[Any] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        is_config = "RunnableConfig" in str(parameter.annotation)
        arguments.append({"configurable": package.config.get("configurable", {})} if is_config else package)
    if len(arguments) > 1:
        raise ModelError(
            f"{function.__name__} takes {len(arguments)} arguments. A function that builds a graph takes none, or the "
            "GraphPackage."
        )
    made = function(*arguments)
    return loop.run(made) if inspect.iscoroutine(made) else made


def _others(module: Any, kinds: tuple[type, ...]) -> str:
    """The end of an error message: the graphs and functions that a module has."""
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isinstance(value, kinds) or (inspect.isfunction(value) and value.__module__ == module.__name__))
    ]
    return f" It has: {', '.join(names)}." if names else " It has no graph and no function."


@contextmanager
def real_langgraph() -> Iterator[None]:
    """Imports of ``langgraph`` in the block find the package, not the ``langgraph.py`` of a graph.

    The package is a namespace package, so a file of its name anywhere on the path would hide it.
    """
    hidden = [entry for entry in sys.path if (Path(entry or ".") / FOLDER_FILE).is_file()]
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


def _import(file: Path, own: "PrivateModules | None") -> Any:
    name = f"{PREFIX}{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    if own:
        vars(module)["__builtins__"] = own.builtins
    # LangGraph resolves the annotations of a state in the module of this name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module

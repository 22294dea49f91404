"""Put a graph's code, prompts and settings into a package."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_lib.errors import TrainingError
from mlops_lib.settings import Settings
from mlops_lib.wrappers.code.data_beside import data_of
from mlops_lib.wrappers.code.own_code import LIBRARY, Needs, require_no_secret, require_portable
from mlops_lib.wrappers.code.source_imports import imports_in
from mlops_lib.wrappers.graph.code import CODE, ENTRY, FOLDER_FILE
from mlops_lib.wrappers.graph.source import Source, require_module, source_of
from mlops_lib.wrappers.text.package import REQUIREMENTS_FILE, copy_into, read_json

#: Files of a graph that is a folder.
FILES = (FOLDER_FILE, "prompts.yaml", "config.json")
#: Keys of model.params that say how rows become the graph's input, and its state an answer.
MAPPINGS = ("input", "output", "contexts", "threads", "stream", "answer_nodes", "context", "configurable")
PARAMS = ("files", "prompts", "config", *MAPPINGS)


def collect(folder: Path, config: Settings) -> None:
    """Put everything that the graph of ``model.implementation`` needs into an empty folder.

    Raises:
        TrainingError: A file or a module does not exist, or model.params has a key that no graph takes.
    """
    source, params = source_of(config), dict(config.model.params)
    if unknown := [name for name in params if name not in PARAMS]:
        raise TrainingError(f"model.params has {', '.join(unknown)}; a graph takes: {', '.join(PARAMS)}.")
    if source.module:
        settings: dict[str, Any] = {ENTRY: f"{source.module}:{source.name}"}
        (folder / "prompts.yaml").write_text("{}\n", encoding="utf-8")
        if prompts := params.get("prompts"):
            (folder / "prompts.yaml").unlink()
            copy_into(folder, "prompts.yaml", config.path(prompts))
    else:
        (root,) = source.path
        for name in FILES:
            if not (root / name).is_file():
                raise TrainingError(f"{root} has no {name}. A graph is a folder with {', '.join(FILES)}.")
            copy_into(folder, name, root / name)
        settings = read_json(folder / "config.json")
    _copy_code(folder, source, config)
    for name, path in params.get("files", {}).items():
        original, target = config.path(path), folder / name
        copy_into(folder, name, original)
        copied = (original / file.relative_to(target) for file in (target, *target.rglob("*")))
        require_no_secret(filter(Path.is_file, copied), "model.params.files")
    settings |= {name: params[name] for name in MAPPINGS if name in params}
    _write(folder / "config.json", settings | params.get("config", {}))


def files_of_graph(config: Settings) -> list[Path]:
    """The user's own modules of the graph of ``model.implementation``, and the data beside them.

    Raises:
        TrainingError: They are not there.
    """
    source = source_of(config)
    needs, data = _needs(_modules(source), source, config)
    return sorted({file for files in needs.own.values() for file in files} | set(data))


def _modules(source: Source) -> list[str]:
    """The modules that a graph begins with."""
    if source.module:
        require_module(source)
        return [source.module]
    return [name for name, _ in imports_in(source.path[0] / FOLDER_FILE, "")]


def _needs(modules: list[str], source: Source, config: Settings) -> tuple[Needs, dict[Path, Path]]:
    needs = Needs(modules, config.root, source.path)
    return needs, data_of(needs.imported, config.root, needs.own)


def _copy_code(folder: Path, source: Source, config: Settings) -> None:
    """Copy the user's own modules with the data beside them, and note the distributions that they import."""
    needs, data = _needs(_modules(source), source, config)
    needs.require_portable()
    require_portable(data, "the data files beside its modules")
    code = folder / CODE
    needs.copy_into(code)
    for file, root in data.items():
        copy_into(code, file.relative_to(root).as_posix(), file)
    own = f"{LIBRARY.replace('_', '-')}=="
    lines = [line for line in needs.requirements() if not line.startswith(own)]
    (folder / REQUIREMENTS_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _write(file: Path, content: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False)
    except TypeError as error:
        raise TrainingError(f"model.params must hold values of JSON: {error}") from error
    file.write_text(text + "\n", encoding="utf-8")

"""The key of a step in the cache: everything that its result depends on.

These are the notebook, the library, the image, the settings that the step reads, the code that they name, the
remaining parameters, and the content of the data.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mlops_lib import __version__, config, files, loaders, plugins, tracking
from mlops_lib.errors import MlopsError
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.settings.section import Section
from mlops_lib.steps.contracts import Parameters, setting_of
from mlops_lib.steps.table import Step

CODE = (".py",)
#: Files beside a module of the user's own that it may read.
CODE_AND_TEXT = (".py", ".md", ".txt", ".yaml", ".yml", ".json", ".toml", ".jinja")


def key_of(parts: Mapping[str, str]) -> str:
    """The file name under which a step with these parts is stored."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def parts_of(settings: Settings, step: Step, parameters: Parameters, fingerprint: str = "") -> dict[str, str]:
    """Everything that a step's result depends on, each part under the name that a user is shown.

    Args:
        settings: The settings of this step: see `mlops_lib.steps.settings`.
        step: The step.
        parameters: Its parameters.
        fingerprint: Of the prepared dataset; empty: computed from ``parameters.data``.
    """
    given = parameters.model_dump()
    parts = {
        "the notebook": files.sha256(settings.notebook(step.notebook)),
        "the library": f"{__version__} {digest_of_library()}",
        # A step that worked on the laptop may lack something in the image.
        "the image": os.environ.get("MLOPS_IMAGE", ""),
    }
    for name in step.arguments:
        if not setting_of(type(parameters), name):
            parts[f"parameter {name}"] = str(given[name])
    values = config.flat(settings)
    # MLflow writes the resolved URI into the environment of the steps.
    values["mlflow.tracking_uri"] = mask(tracking.tracking_uri(settings))
    values["secrets.openai_base_url"] = mask(settings.secrets.openai_base_url or "")
    for name, value in values.items():
        if step.reads(name):
            parts[name] = str(value)
        if step.runs_code_of(name):
            digests = [_digest_of_named(settings, text) for text in _texts(value) if ".py:" not in text]
            if name == "model.implementation":
                digests.append(_digest_of_model(settings))
            if name == "data.served_rows" and value == "raw":  # the model carries it
                prepare = settings.data.prepare
                digests += [_digest_of_named(settings, prepare), _digest_of_read(settings, prepare)]
            if name == "data.prepare":
                digests.append(_digest_of_read(settings, value))
            if name in ("train.datamodule", "train.dataset") and value:
                digests.append(_digest_of_read(settings, value["class"]))
            if any(digests):
                parts[f"the code of {name}"] = " ".join(digests)
    if "run_id" in given:
        parts["model"] = given["run_id"]
    if step.data == "source":
        parts["data"] = loaders.from_settings(settings).fingerprint()
    elif step.data == "prepared":
        parts["data"] = fingerprint or loaders.prepared(settings, given["data"]).fingerprint()
    return parts


def _texts(value: Any) -> Iterator[str]:
    """Every text in a setting's value, at any depth; of the keys, those that may name code."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Section):  # a section in a mapping, such as an input of a network
        yield from _texts(value.model_dump())
    elif isinstance(value, Mapping | list | tuple):
        if isinstance(value, Mapping):
            yield from (key for key in value if isinstance(key, str) and ":" in key)
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _digest_of_named(settings: Settings, text: str) -> str:
    """The digest of the module (with the files beside it), the file or the folder
    that a text names; else ""."""
    work = settings.path(settings.pipeline.work_dir)
    module, colon, _ = text.partition(":")
    if colon:
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(module)
            if spec and spec.origin and spec.has_location:
                folder = Path(spec.origin).resolve().parent
                # Beside a module outside any package may be anything, so only code counts
                # there. In the project's root its packages count too; elsewhere, as in an
                # environment, packages belong to others.
                own = folder == settings.root.resolve()
                suffixes = CODE if own or not spec.parent else CODE_AND_TEXT
                return digest_of_code(folder, suffixes, work, deep=own or bool(spec.parent))
        return ""
    try:
        path = settings.path(text)
        if not text or not path.exists() or path == settings.root:
            return ""
    except (OSError, ValueError, RuntimeError):  # a text that cannot be a path, such as a prompt
        return ""
    return files.sha256(path) if path.is_file() else digest_of_code(path, CODE_AND_TEXT, work)


def _digest_of_read(settings: Settings, path: str) -> str:
    """The digest of the data files that code at ``package.module:name`` reads; "" if it reads none."""
    from mlops_lib.wrappers.code.data_beside import read_by
    from mlops_lib.wrappers.code.own_code import Needs

    if not path:
        return ""
    needs = Needs({path.partition(":")[0]}, settings.root)
    read = sorted(read_by(needs.imported, settings.root))
    return key_of({str(path): files.sha256(path) for path in read}) if read else ""


def _digest_of_model(settings: Settings) -> str:
    """The digest of the files that a model's wrapper finds for ``model.implementation``;
    "" if it finds none."""
    if (files_of := plugins.files_of_model(settings.model.wrapper)) is None:
        return ""
    try:
        found = sorted(files_of(settings))
    except MlopsError:  # the step then reports it
        return ""
    return key_of({str(path): files.sha256(path) for path in found}) if found else ""


def digest_of_library() -> str:
    """The digest of the code of this package, as it is at the first call in a process."""
    return digest_of_code(Path(__file__).parents[1])


@cache
def digest_of_code(
    folder: Path, suffixes: tuple[str, ...] = CODE, work: Path | None = None, deep: bool = True
) -> str:
    """The digest of the files with these suffixes in a folder and, with `deep`, in the folders below it."""
    return files.digest_of_folder(folder, _files(folder, suffixes, work, deep))


def _files(folder: Path, suffixes: tuple[str, ...], work: Path | None, deep: bool) -> Iterator[Path]:
    """The files that people wrote: not those of hidden folders, virtual environments or the work folder.

    Code alone is taken only from folders that an import can name;
    MLflow stores models' code in numbered folders.
    """
    for parent, folders, names in os.walk(folder):
        yield from (path for name in names if (path := Path(parent, name)).suffix in suffixes)
        inner = [name for name in folders if deep and not name.startswith(".")]
        paths = {name: Path(parent, name) for name in inner if name.isidentifier() or suffixes != CODE}
        folders[:] = [
            name for name, path in paths.items() if path != work and not (path / "pyvenv.cfg").exists()
        ]

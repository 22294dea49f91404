"""The files of an LLM model: collected in a package, logged with MLflow, described by a signature."""

import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import TrainingError
from mlops_lib.redact.keys import Masker
from mlops_lib.wrappers.load import MODEL_PATH

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

#: Name of the package among the artifacts of the MLflow model.
PACKAGE = "package"
#: In a package: more requirements, one on a line.
REQUIREMENTS_FILE = "requirements.txt"
#: Pinned in the logged model, as far as they are installed.
REQUIREMENTS = ("mlflow", "langgraph", "langgraph-checkpoint-sqlite", "langchain-openai",
                "langchain-anthropic", "openai", "anthropic")  # fmt: skip


def log_package(folder: Path, signature: "ModelSignature", metadata: dict[str, Any]) -> str:
    """Log the package in `folder` as an MLflow model of the current run, and return its URI."""
    import mlflow.pyfunc

    with warnings.catch_warnings():
        # MLflow asks for an input example, with which it would call the LLM. The signature is enough.
        warnings.filterwarnings("ignore", ".*([Ii]nput example|type hints)", UserWarning)
        info = mlflow.pyfunc.log_model(
            name=MODEL_PATH,
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={PACKAGE: str(folder)},
            signature=signature,
            pip_requirements=_requirements(folder),
            metadata=metadata,
        )
    return info.model_uri


def text_signature(features: Sequence[str], extra_columns: Mapping[str, str]) -> "ModelSignature":
    """Text columns in, one text out; `extra_columns` (name -> "text" or "any") are optional."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    # A row that resumes a conversation has no question. So a graph with threads has no required column.
    required = not extra_columns
    columns: list[Any] = [ColSpec(DataType.string, name, required) for name in features]
    kinds: dict[str, Any] = {"text": DataType.string, "any": AnyType()}
    columns += [ColSpec(kinds[kind], name, required=False) for name, kind in extra_columns.items()]
    return ModelSignature(Schema(columns), Schema([ColSpec(DataType.string)]))


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        TrainingError: The file cannot be read, or holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainingError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise TrainingError(f"{file} must hold a JSON object, not {type(content).__name__}.")
    return content


def copy_into(folder: Path, name: str, source: Path) -> None:
    """Copy a file or a folder to ``folder/name``.

    Raises:
        TrainingError: `source` does not exist, or `name` is taken or lies outside the folder.
    """
    target = (folder / name).resolve()
    if folder.resolve() not in target.parents or target.exists():
        raise TrainingError(f"model.params.files cannot put {source} at {name!r}: choose another name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    elif source.is_file():
        shutil.copyfile(source, target)
    else:
        raise TrainingError(f"model.params.files names {source}, which does not exist.")


def require_no_known_secret(folder: Path) -> None:
    """Raise TrainingError if a file of a package holds the value of a secret of the environment."""
    masker = Masker()
    for file in sorted(filter(Path.is_file, folder.rglob("*"))):
        if masker.is_in(file.read_bytes()):
            raise TrainingError(
                f"The model would carry {file.relative_to(folder)}, which holds the value of a secret of the environment. "
                "Let the code read it from the environment, and take it out of the file."
            )


def _requirements(folder: Path) -> list[str]:
    more = folder / REQUIREMENTS_FILE
    pinned = more.read_text(encoding="utf-8").split() if more.is_file() else []
    for name in REQUIREMENTS:
        try:
            pinned.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return sorted(set(pinned))

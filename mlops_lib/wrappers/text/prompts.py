"""The prompts of a model: read from prompts.yaml, and registered in MLflow's prompt registry."""

import hashlib
import re
from pathlib import Path

from mlops_lib.errors import TrainingError

PROMPT_TAG = "mlops.prompt."


def read(file: Path) -> dict[str, str]:
    """Prompts by name.

    Raises:
        TrainingError: The file cannot be read, or is not a mapping of names to texts.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
        raise TrainingError(f"{file} must map names to texts, for example 'system: You answer briefly.'")
    return {str(name): text for name, text in content.items()}


def registry_name(name: str) -> str:
    """A name for MLflow's prompt registry, which takes fewer characters than its model registry."""
    readable = re.sub(r"[^a-zA-Z0-9_.-]", "_", name)
    return name if readable == name else f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def register(model: str, file: Path) -> dict[str, str]:
    """Register a new version of each prompt that changed.

    Returns:
        Run tags with the version of each prompt.
    """
    import mlflow

    tags = {}
    for name, template in read(file).items():
        registered = registry_name(f"{model}.{name}")
        known = mlflow.genai.load_prompt(f"prompts:/{registered}@latest", allow_missing=True)
        if known is None or known.template != template:
            known = mlflow.genai.register_prompt(registered, template)
        tags[f"{PROMPT_TAG}{name}"] = f"{registered}/{known.version}"
    return tags

"""prompts.yaml, and its prompts in MLflow's prompt registry."""

from pathlib import Path

from mlops_lib.errors import TrainingError

PROMPT_TAG = "mlops.prompt."


def read(file: Path) -> dict[str, str]:
    """Prompts by name.

    Raises:
        TrainingError: The file is not there, or is no mapping of names to texts.
    """
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f"{file} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
        raise TrainingError(f"{file} must map names to texts, for example 'system: You answer briefly.'")
    return {str(name): text for name, text in content.items()}


def register(model: str, file: Path) -> dict[str, str]:
    """Give each prompt that changed a new version in MLflow's prompt registry.

    Returns:
        Run tags: which version of each prompt the model was made with.
    """
    import mlflow

    tags = {}
    for name, template in read(file).items():
        registered = f"{model}.{name}"
        known = mlflow.genai.load_prompt(f"prompts:/{registered}@latest", allow_missing=True)
        if known is None or known.template != template:
            known = mlflow.genai.register_prompt(registered, template)
        tags[f"{PROMPT_TAG}{name}"] = f"{registered}/{known.version}"
    return tags

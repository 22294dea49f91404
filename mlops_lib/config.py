"""Resolve settings from arguments, environment variables, config.yaml and defaults, in that order.

Relative paths are taken from the folder of the config file, whatever the current directory is, so that a
notebook in ``notebooks/``, a pipeline step and the service all mean the same file.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import ValidationError

from mlops_lib import plugins
from mlops_lib.errors import ConfigError
from mlops_lib.redact import mask, other_secrets_in, password_in, without_password
from mlops_lib.settings import Section, Settings

CONFIG_ENV = "MLOPS_CONFIG"

#: Environment variable -> the setting it overrides.
ENVIRONMENT: dict[str, str] = {
    "MLFLOW_TRACKING_URI": "mlflow.tracking_uri",
    "MLFLOW_EXPERIMENT_NAME": "mlflow.experiment",
    "MLFLOW_MODEL_NAME": "model.name",
    "MLFLOW_MODEL_STAGE": "serving.stage",
    "MLFLOW_MODEL_ALIAS": "serving.alias",
    "MLFLOW_MODEL_VERSION": "serving.version",
    "DATA_LOADER_TYPE": "data.loader",
    "DATA_SOURCE_PATH": "data.source",
    "OPENAI_API_KEY": "secrets.openai_api_key",
    "OPENAI_BASE_URL": "secrets.openai_base_url",
    "ANTHROPIC_API_KEY": "secrets.anthropic_api_key",
    "DATA_SOURCE_PASSWORD": "secrets.data_password",
    "TECTON_API_KEY": "secrets.tecton_api_key",
    "MLOPS_IMAGE": "pipeline.image",
    "MLOPS_WORK_DIR": "pipeline.work_dir",
}


class Loaded(NamedTuple):
    """Settings, the file they came from, and for each dotted key where its value came from."""

    settings: Settings
    file: Path
    origins: dict[str, str]


def find_config() -> Path | None:
    """The file named by MLOPS_CONFIG, else the nearest ``config.yaml`` from here upwards, else None."""
    if named := os.environ.get(CONFIG_ENV):
        return Path(named).expanduser().resolve()
    folders = [Path.cwd(), *Path.cwd().parents]
    return next((folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()), None)


def load(file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The resolved settings. See `load_with_origins` for the arguments and errors."""
    return load_with_origins(file, overrides).settings


def load_with_origins(file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Resolve settings and remember where each value came from.

    Args:
        file: Config file; None looks for one (see `find_config`).
        overrides: Dotted key -> value, the strongest layer; None, "" and 0-length values are left out.

    Raises:
        ConfigError: No config file, one that is no YAML mapping, an unknown key or a bad value. The
            message names key, value, what was wanted, and the file or variable it came from.
    """
    path = Path(file).resolve() if file else find_config()
    if path is None:
        raise ConfigError(
            f"No config.yaml in {Path.cwd()} or above. Name one with --config or {CONFIG_ENV}, or make one: mlops init."
        )
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, value in _flatten(_read(path), Settings).items():
        _put(values, origins, key, value, str(path))
    for variable, key in ENVIRONMENT.items():
        if value := os.environ.get(variable):
            _put(values, origins, key, value, f"environment {variable}")
    for key, value in (overrides or {}).items():
        if value not in (None, "", (), {}):
            _put(values, origins, key, value, "argument")
    _part_with_password(values, origins)
    try:
        settings = Settings.model_validate({**values, "root": path.parent})
    except ValidationError as error:
        raise ConfigError(_explain(error, origins, path)) from None
    _check_plugins(settings, origins, path)
    # Classes of the user's own live beside the config file; kernels and steps start in other folders.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    return Loaded(settings, path, origins)


def _check_plugins(settings: Settings, origins: dict[str, str], path: Path) -> None:
    """Raise ConfigError for a setting that names an implementation that does not exist. Imports nothing."""
    data, judged = settings.data, settings.evaluation
    named = [
        ("loader", "data.loader", data.loader, ""),
        ("features", "data.feature_store.provider", data.feature_store.provider, ""),
        ("wrapper", "model.wrapper", settings.model.wrapper, ""),
        ("task", "evaluation.task", judged.task, ""),
        *(("metric", "evaluation.metrics", name, judged.task) for name in judged.metrics),
        *(("baseline", "evaluation.baselines", name, judged.task) for name in judged.baselines),
    ]
    for kind, key, name, task in named:
        try:
            plugins.check(kind, name, task)
        except plugins.PluginError as error:
            raise ConfigError(f"'{key}' in {origins.get(key, path)}: {error}") from None


def flat(settings: Settings) -> dict[str, Any]:
    """Every setting under its dotted key, secrets masked."""
    return {key: value for key, value in _walk(settings) if key != "root"}


def _walk(section: Section, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section:
        if isinstance(value, Section):
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _part_with_password(values: dict[str, Any], origins: dict[str, str]) -> None:
    """A password in data.source goes to secrets, where nothing prints it; a file or an argument may have none.

    Raises:
        ConfigError: The password is in a file or an argument, both of which are kept and shown; or it is not the
            user's, which is all that can be given apart.
    """
    source = values.get("data", {}).get("source") if isinstance(values.get("data"), dict) else None
    if not isinstance(source, str) or not (password := password_in(source)):
        return
    origin = origins["data.source"]
    if not origin.startswith("environment"):
        raise ConfigError(
            f"'data.source' in {origin} has a password in it, left out here: {without_password(source)}. Files and "
            "arguments are kept and shown. Leave it out, and set the environment variable DATA_SOURCE_PASSWORD."
        )
    if others := other_secrets_in(source):
        raise ConfigError(
            f"'data.source' in {origin} has a secret in {', '.join(others)}, which would be shown. Leave it out: the "
            "user's password goes to DATA_SOURCE_PASSWORD, any other to a file of the driver's (PGSERVICEFILE, odbc.ini)."
        )
    values["data"]["source"] = without_password(source)
    values.setdefault("secrets", {}).setdefault("data_password", password)
    origins.setdefault("secrets.data_password", origin)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"Config file {path} does not exist. Name another with --config or {CONFIG_ENV}, or make one: mlops init."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"Config file {path} is not readable YAML: {error}") from None
    if content is None:
        raise ConfigError(f"Config file {path} is empty. `mlops init` makes one that runs.")
    if not isinstance(content, dict):
        raise ConfigError(f"Config file {path} must be a mapping of sections, not {type(content).__name__}.")
    for forbidden in ("secrets", "root"):
        if forbidden in content:
            raise ConfigError(
                f"{path} has a section {forbidden!r}. Secrets come from environment variables alone "
                "(OPENAI_API_KEY, ANTHROPIC_API_KEY), and the root is the file's own folder: remove it."
            )
    return content


def _flatten(values: Mapping[str, Any], model: type[Section] | None, prefix: str = "") -> dict[str, Any]:
    """Sections to dotted keys; a dictionary that is itself a value (model.params) stays one."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if value is None and not prefix and name in Settings.model_fields:  # its lines are all commented out
            continue
        inner = _section_at(model, str(name))
        if isinstance(value, dict) and (inner or not prefix):
            flat.update(_flatten(value, inner, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _section_at(model: type[Section] | None, name: str) -> type[Section] | None:
    """The class of a field that is a section, else None."""
    field = model.model_fields.get(name) if model else None
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _put(values: dict[str, Any], origins: dict[str, str], key: str, value: Any, origin: str) -> None:
    *sections, name = key.split(".")
    group: Any = values
    for section in sections:
        group = group.setdefault(section, {})
        if not isinstance(group, dict):
            return
    group[name] = tuple(value) if isinstance(value, list) else value
    origins[key] = origin


def _explain(error: ValidationError, origins: dict[str, str], path: Path) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        location = [str(part) for part in problem["loc"]]
        key = ".".join(location)
        prefixes = (".".join(location[:length]) for length in range(len(location), 0, -1))
        origin = next((origins[prefix] for prefix in prefixes if prefix in origins), str(path))
        if problem["type"] == "extra_forbidden":
            known = _known_keys(location[:-1])
            lines.append(f"Unknown key '{key}' in {origin}. Known here: {', '.join(known)}.")
        elif problem["type"] == "missing":
            lines.append(f"Key '{key}' is missing in {path}.")
        elif problem["type"] == "model_type":
            wanted = f"a mapping of {', '.join(_known_keys(location))}"
            lines.append(f"'{key}' has value {problem['input']!r} in {origin}. It should be {wanted}.")
        else:
            lines.append(f"'{key}' has value {mask(repr(problem['input']))} in {origin}. {problem['msg']}.")
    return "\n".join(lines)


def _known_keys(location: list[str]) -> list[str]:
    model: type[Section] | None = Settings
    for name in location:
        field = model.model_fields.get(name) if model else None
        # A dictionary of sections, data.checks.columns say: any name, then the section's keys.
        inner = [kind for kind in get_args(field.annotation) if isinstance(kind, type)] if field else []
        model = _section_at(model, name) or next((k for k in inner if issubclass(k, Section)), model)
    names = list(model.model_fields) if model else []
    return [name for name in names if name not in ("root", "secrets")]

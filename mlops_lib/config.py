"""Resolve settings from arguments, environment variables, config.yaml and defaults, in that order.

Relative paths start at the folder of the config file and not at the current directory, so that a notebook in
``notebooks/``, a pipeline step and the service use the same files.
"""

import contextlib
import copy
import functools
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import SecretStr, ValidationError

from mlops_lib import plugins
from mlops_lib.errors import ConfigError
from mlops_lib.redact import add_secrets, other_secrets_in, password_in, without_password
from mlops_lib.settings import Section, Settings
from mlops_lib.settings.explain import explain, section_at
from mlops_lib.settings.served_model import served_model
from mlops_lib.yaml_files import read_yaml

CONFIG_ENV = "MLOPS_CONFIG"
#: Address of the model that `mlops serve` was given. It wins over all settings of
#: the model's name and version.
SERVED_ENV = "MLOPS_SERVED_MODEL"

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
    "OPENLINEAGE_URL": "pipeline.openlineage_url",
    "OPENLINEAGE_API_KEY": "secrets.openlineage_api_key",
    "MODEL_SIGNING_KEY": "secrets.signing_key",
    "MODEL_SIGNING_KEY_PASSWORD": "secrets.signing_key_password",
    "MLOPS_IMAGE": "pipeline.image",
    "MLOPS_WORK_DIR": "pipeline.work_dir",
}
#: Required settings that the service never reads, with the values that it starts with where they are missing.
NOT_SERVED: dict[str, Any] = {"data.source": "-", "data.label": "-", "evaluation.threshold": 0.0}


class Loaded(NamedTuple):
    """Settings, their file, and the origin of each value (dotted key -> file,
    environment variable or argument)."""

    settings: Settings
    file: Path
    origins: dict[str, str]


def find_config() -> Path | None:
    """The file named by MLOPS_CONFIG, else the nearest ``config.yaml`` in this folder or above, else None."""
    if named := os.environ.get(CONFIG_ENV):
        return Path(named).expanduser().resolve()
    return _nearest()


def _nearest() -> Path | None:
    folders = [Path.cwd(), *Path.cwd().parents]
    return next((folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()), None)


def load(file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The resolved settings. See `load_with_origins` for the arguments and errors."""
    return load_with_origins(file, overrides).settings


def load_with_origins(file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Resolve settings, with the origin of each value.

    Args:
        file: Config file; None looks for one (see `find_config`).
        overrides: Dotted key -> value; these win over all others. None, "" and empty collections are ignored.

    Raises:
        ConfigError: There is no config file, it is not a YAML mapping, a key is unknown or a value is bad.
            The message names key, value, the accepted values, and the file or variable of the value.
    """
    path = Path(file).resolve() if file else find_config()
    if path is None:
        raise ConfigError(
            f"No config.yaml in {Path.cwd()} or above. Name one with --config or {CONFIG_ENV}, or make one: mlops init."
        )
    return _resolved(path, _read(path), overrides or {})


def load_for_service(file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Resolve settings for the service, which needs no `data` or `evaluation` section.

    Without a config file, MLFLOW_TRACKING_URI and MLFLOW_MODEL_NAME (or MLOPS_SERVED_MODEL) are enough;
    `Loaded.file` then does not exist, and paths start at the current directory.

    Args:
        file: Config file; None looks for one (see `find_config`).
        overrides: As for `load_with_origins`.

    Raises:
        ConfigError: As for `load_with_origins`; or there is no config file and one
            of these variables is not set.
    """
    path = Path(file).resolve() if file else find_config()
    address = os.environ.get(SERVED_ENV, "")
    served = served_model(address) if address else {}
    if path:
        return _resolved(path, _read(path), overrides or {}, NOT_SERVED, served)
    needed = ("MLFLOW_TRACKING_URI",) if served else ("MLFLOW_TRACKING_URI", "MLFLOW_MODEL_NAME")
    if missing := [name for name in needed if not os.environ.get(name)]:
        raise ConfigError(
            f"No config.yaml in {Path.cwd()} or above, and without one the service needs the environment variable "
            f"{' and '.join(missing)}. Set it, or name a config file with --config or {CONFIG_ENV}."
        )
    return _resolved(Path.cwd() / "config.yaml", {}, overrides or {}, NOT_SERVED, served)


def _resolved(
    path: Path,
    content: Mapping[str, Any],
    overrides: Mapping[str, Any],
    gaps: Mapping[str, Any] | None = None,
    served: Mapping[str, Any] | None = None,
) -> Loaded:
    """Put environment and arguments over the content of a config file.

    Args:
        gaps: Values for keys that are missing.
        served: Settings that win over all others, also where they are empty.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, value in {**(gaps or {}), **_flatten(content, Settings)}.items():
        _put(values, origins, key, value, str(path))
    for variable, key in ENVIRONMENT.items():
        if value := os.environ.get(variable):
            _put(values, origins, key, value, f"environment {variable}")
    _move_password(values, origins)
    _name_the_label_of_images(values)
    configured = {"root": path.parent, **copy.deepcopy(values)}
    _override(values, origins, overrides)
    for key, value in (served or {}).items():
        _put(values, origins, key, value, f"{os.environ[SERVED_ENV]!r}")
    _name_the_label_of_images(values)
    settings = _validated({**values, "root": path.parent}, origins, path)
    add_secrets(value.get_secret_value() for _, value in settings.secrets if isinstance(value, SecretStr))
    if overrides:
        with contextlib.suppress(ValidationError):  # the configuration lacks a value that an argument gives
            settings = settings.with_digest_of(Settings.model_validate(configured))
    settings = settings.with_config_option(path, _nearest())
    _check_plugins(settings, origins, path)
    # The user's own modules are beside the config file, and kernels and steps start in other folders.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    return Loaded(settings, path, origins)


def replaced(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Resolved settings with other values for some of them.

    Args:
        settings: Resolved settings.
        overrides: Dotted key -> value.

    Raises:
        ConfigError: A value is wrong; the message names key and value.
    """
    if not overrides:
        return settings
    values, origins = settings.model_dump(), dict[str, str]()
    _override(values, origins, overrides)
    made = _validated(values, origins, settings.root / "config.yaml")
    _check_plugins(made, origins, settings.root / "config.yaml")
    return made.with_digest_of(settings)


def _validated(values: dict[str, Any], origins: dict[str, str], path: Path) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, origins, path)) from None


def _check_plugins(settings: Settings, origins: dict[str, str], path: Path) -> None:
    """Raise ConfigError for a setting that names an implementation that does not exist. Imports nothing."""
    data, judged = settings.data, settings.evaluation
    named = [
        ("loader", "data.loader", data.loader, ""),
        ("features", "data.feature_store.provider", data.feature_store.provider, ""),
        ("wrapper", "model.wrapper", settings.model.wrapper, ""),
        ("task", "evaluation.task", judged.task, ""),
        *(
            ("metric", "evaluation.metrics", name, judged.task)
            for name in judged.metrics
            if name not in judged.rubrics
        ),
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


def changed(settings: Settings) -> set[str]:
    """The dotted keys of settings that differ from their defaults; required ones always do."""
    found = set()
    for key, value in _walk(settings):
        *sections, name = key.split(".")
        section = functools.reduce(getattr, sections, settings)
        if value != type(section).model_fields[name].get_default(
            call_default_factory=True, validated_data={}
        ):
            found.add(key)
    return found


def _walk(section: Section, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section:
        if isinstance(value, Section):
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _override(values: dict[str, Any], origins: dict[str, str], overrides: Mapping[str, Any]) -> None:
    """Put arguments over the values. A data.source that is given so does not get the
    password of another address."""
    for key, value in overrides.items():
        if value not in (None, "", (), {}):
            _put(values, origins, key, value, "argument")
    if origins.get("data.source") == "argument" and not os.environ.get("DATA_SOURCE_PASSWORD"):
        values["secrets"] = {**values.get("secrets", {}), "data_password": None}
        origins.pop("secrets.data_password", None)
    _move_password(values, origins)


def _move_password(values: dict[str, Any], origins: dict[str, str]) -> None:
    """Move a password in data.source to secrets, which are never printed.
    Files and arguments may not have one.

    Raises:
        ConfigError: The password is in a file or an argument, which are stored and shown;
            or there is a secret other than the user's password, for which there is no setting.
    """
    source = values.get("data", {}).get("source") if isinstance(values.get("data"), dict) else None
    if not isinstance(source, str) or not (password := password_in(source)):
        return
    origin = origins["data.source"]
    if not origin.startswith("environment"):
        raise ConfigError(
            f"'data.source' in {origin} has a password in it, left out here: {without_password(source)}. Files and "
            "arguments are stored and shown. Remove it, and set the environment variable DATA_SOURCE_PASSWORD."
        )
    if others := other_secrets_in(source):
        raise ConfigError(
            f"'data.source' in {origin} has a secret in {', '.join(others)}, which would be shown. Remove it. Set the "
            "user's password in DATA_SOURCE_PASSWORD, and other secrets in the driver's file (PGSERVICEFILE, odbc.ini)."
        )
    values["data"]["source"] = without_password(source)
    values.setdefault("secrets", {}).setdefault("data_password", password)
    origins.setdefault("secrets.data_password", origin)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_yaml(path)
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
                "(OPENAI_API_KEY, ANTHROPIC_API_KEY), and the root is the folder of the file. Remove the section."
            )
    return content


def _flatten(values: Mapping[str, Any], model: type[Section] | None, prefix: str = "") -> dict[str, Any]:
    """Turn sections into dotted keys. A dictionary that is a value, such as model.params,
    stays a dictionary."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        # The lines of the section are all commented out.
        if value is None and not prefix and name in Settings.model_fields:
            continue
        inner = section_at(model, str(name))
        if isinstance(value, dict) and (inner or not prefix):
            flat.update(_flatten(value, inner, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _name_the_label_of_images(values: dict[str, Any]) -> None:
    """Set ``data.label`` where it is missing and the loader `images` names that column itself."""
    data = values.get("data")
    if isinstance(data, dict) and data.get("loader") == "images":
        data.setdefault("label", "label")


def _put(values: dict[str, Any], origins: dict[str, str], key: str, value: Any, origin: str) -> None:
    *sections, name = key.split(".")
    group: Any = values
    for section in sections:
        group = group.setdefault(section, {})
        if not isinstance(group, dict):
            return
    group[name] = tuple(value) if isinstance(value, list) else value
    origins[key] = origin

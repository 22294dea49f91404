"""Errors of settings, with key, value, the accepted values, and the origin of the value."""

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from typing_extensions import is_typeddict

from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.settings.section import FORMS, Section
from mlops_lib.wording import did_you_mean

NUMBER = re.compile(r"\s*[-+]?[\d_]*\.?\d+([eE][-+]?\d+)?\s*")


def explain(error: ValidationError, origins: Mapping[str, str], path: Path) -> str:
    """One line for each problem.

    Args:
        error: From `Settings.model_validate`.
        origins: Dotted key -> where its value came from.
        path: The config file, for keys without an origin.
    """
    lines = []
    for problem in error.errors(include_url=False):
        # Of a default that depends on another setting, which has the error.
        if problem["type"] == "default_factory_not_called":
            continue
        location = [str(part) for part in problem["loc"] if part not in FORMS]
        key = ".".join(location)
        prefixes = (".".join(location[:length]) for length in range(len(location), 0, -1))
        origin = next((origins[prefix] for prefix in prefixes if prefix in origins), str(path))
        if problem["type"] == "extra_forbidden":
            known = _known_keys(location[:-1])
            near = did_you_mean(location[-1], known)
            lines.append(f"Unknown key '{key}' in {origin}.{near} Known here: {', '.join(known)}.")
        elif problem["type"] == "missing":
            lines.append(f"Key '{key}' is missing in {path}.")
        elif problem["type"] == "model_type":
            wanted = f"a mapping of {', '.join(_known_keys(location))}"
            lines.append(f"'{key}' has value {problem['input']!r} in {origin}. It should be {wanted}.")
        elif not location:  # of several sections together
            lines.append(f"{problem['msg'].removeprefix('Value error, ')}. See {path}.")
        else:
            value, message = problem["input"], problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "dict_type":
                message = "It should be a mapping of names to values"
            hint = f"{_quotes(problem)}{_near_choice(problem)}"
            if problem["type"] != "value_error":  # those of the platform's own say what is wanted
                hint += _meaning(location)
            lines.append(f"'{key}' has value {mask(repr(value))} in {origin}. {message}.{hint}")
    return "\n".join(lines)


def _quotes(problem: Any) -> str:
    """The remedy for a value that YAML read as another type than it looks like."""
    value = problem["input"]
    if problem["type"] == "string_type" and isinstance(value, bool | int | float | date):
        return " YAML reads it so; write it in quotes for a text."
    if problem["type"] in ("int_type", "float_type") and isinstance(value, str) and NUMBER.fullmatch(value):
        return " Write it without quotes."
    return ""


def _near_choice(problem: Any) -> str:
    """The nearest of the few values that a setting can have."""
    if problem["type"] != "literal_error" or not isinstance(problem["input"], str):
        return ""
    return did_you_mean(problem["input"], re.findall(r"'([^']+)'", problem["ctx"]["expected"]))


def _meaning(location: list[str]) -> str:
    """The description of the setting that a value belongs to."""
    model: type[Section] | None = Settings
    for name in location:
        inner = section_at(model, name)
        if inner is None:
            field = model.model_fields.get(name) if model else None
            return f" {name}: {field.description}." if field and field.description else ""
        model = inner
    return ""


def _known_keys(location: list[str]) -> list[str]:
    model: type[Section] | None = Settings
    for name in location:
        field = model.model_fields.get(name) if model else None
        if field and is_typeddict(field.annotation):
            return list(field.annotation.__annotations__)  # type: ignore[union-attr]
        # A dictionary of sections such as data.checks.columns: any name, then the section's keys.
        inner = [kind for kind in get_args(field.annotation) if isinstance(kind, type)] if field else []
        model = section_at(model, name) or next((k for k in inner if issubclass(k, Section)), model)
    names = list(model.model_fields) if model else []
    return [name for name in names if name not in ("root", "secrets")]


def section_at(model: type[Section] | None, name: str) -> type[Section] | None:
    """The class of a field that is a section, else None."""
    field = model.model_fields.get(name) if model else None
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None

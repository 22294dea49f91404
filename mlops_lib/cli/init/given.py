"""The choices of the user for a new project: options, and settings as --set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args, get_origin

import yaml

from mlops_lib.errors import ConfigError
from mlops_lib.settings import Settings
from mlops_lib.settings.explain import section_at
from mlops_lib.settings.section import Section


@dataclass(frozen=True)
class Given:
    """The options of the command; None or "" where an option was not given.

    Attributes:
        label, key, time, task, metric: See `Choices`.
        missing_label: "drop", or "error".
        takes_proposals: Whether a label that is not certain may be taken without a question.
    """

    label: str = ""
    key: str | None = None
    time: str | None = None
    task: str = ""
    metric: str = ""
    missing_label: str = ""
    takes_proposals: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that have a role."""
        return tuple(name for name in (self.label, self.key, self.time) if name)


#: Setting -> option that means the same.
OPTIONS = {
    "data.label": "label",
    "data.key": "key",
    "data.missing_label": "missing_label",
    "evaluation.task": "task",
    "evaluation.metric": "metric",
}


def with_settings(given: Given, settings: Mapping[str, Any]) -> tuple[Given, dict[str, Any]]:
    """The options with those given as --set, and the other settings.

    Raises:
        ConfigError: A choice is given twice.
    """
    same = {option: settings[setting] for setting, option in OPTIONS.items() if setting in settings}
    for setting, option in OPTIONS.items():
        if option in same and getattr(given, option):
            raise ConfigError(
                f"--set {setting} and --{option.replace('_', '-')} are the same choice. Give one of them."
            )
    others = {setting: value for setting, value in settings.items() if setting not in OPTIONS}
    return replace(given, **same), others


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Dotted setting -> value of texts such as ``data.csv.separator=;`` and ``data.columns.date=datetime``.

    Raises:
        ConfigError: A text is not of this form, or there is no such setting.
    """
    given: dict[str, Any] = {}
    for text in texts:
        name, value = _parsed(text)
        given[name] = merged(given.get(name), value)
    return given


def _parsed(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    parts = name.split(".")
    model: type[Section] | None = Settings
    for place, part in enumerate(parts if equals else ()):
        field = model.model_fields.get(part) if model else None
        if field is None:
            break
        rest, setting = parts[place + 1 :], ".".join(parts[: place + 1])
        if rest and get_origin(field.annotation) is dict:
            return setting, _entry(rest, value, get_args(field.annotation)[1])
        model = section_at(model, part)
        if place and not rest:
            return setting, _value(value, field.annotation)
    raise ConfigError(
        f"--set {text}: it is SETTING=VALUE, such as data.csv.separator=';'. `mlops config` in a project lists the "
        "settings."
    )


def _entry(path: list[str], value: str, kind: Any) -> dict[str, Any]:
    """One entry of a mapping; the name may have dots, and an entry that is a section
    has settings of its own."""
    if len(path) > 1 and isinstance(kind, type) and issubclass(kind, Section):
        field = kind.model_fields.get(path[-1])
        return {".".join(path[:-1]): {path[-1]: _value(value, field.annotation if field else None)}}
    return {".".join(path): _value(value, kind)}


def _value(text: str, kind: Any) -> Any:
    value = text if kind is str else yaml.safe_load(text)
    return tuple(value) if isinstance(value, list) else value


def merged(first: Any, second: Any) -> Any:
    """`second`, with the entries of `first` that it lacks where both are mappings."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return first | {name: merged(first.get(name), value) for name, value in second.items()}

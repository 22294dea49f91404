"""The search space of config.yaml: checked, put into settings, and written as lines of config.yaml."""

from typing import Any

import yaml
from pydantic import ValidationError

from mlops_lib import plugins
from mlops_lib.errors import ConfigError
from mlops_lib.settings import Dimension, Settings


def check(settings: Settings) -> None:
    """Check that the space has dimensions that change the model,
    and that each bound and choice is a valid setting.

    Raises:
        ConfigError: The space is empty, or has an invalid value or a dimension without effect.
    """
    if not settings.search.space:
        raise ConfigError(
            "There is nothing to search: search.space of config.yaml is empty. For example: "
            "search: {space: {model.params.learning_rate: {type: float, low: 0.0001, high: 0.1, log: true}}}"
        )
    wrapper = settings.model.wrapper
    if not plugins.load("wrapper", wrapper).has_epochs:
        without_effect = {n for n in settings.search.space if n.startswith("train.")} - {"train.seed"}
        if without_effect:
            raise ConfigError(
                f"search.space names {', '.join(sorted(without_effect))}, and model.wrapper {wrapper!r} trains without "
                "epochs, so all their values give the same model. Search model.params instead."
            )
    for name, dimension in settings.search.space.items():
        for value in dimension.choices or bounds(dimension):
            with_values(settings, {name: value})


def with_values(settings: Settings, values: dict[str, Any]) -> Settings:
    """The settings with some values replaced.

    Args:
        settings: Resolved settings.
        values: ``train.x`` or ``model.params.x`` -> value.

    Raises:
        ConfigError: A value is not valid for its setting.
    """
    content = settings.model_dump()
    for key, value in values.items():
        *sections, name = key.split(".")
        group = content
        for section in sections:
            group = group[section]
        group[name] = value
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ConfigError(f"search.space would try {values}: {problem['msg']}.") from None


def without_search(settings: Settings) -> Settings:
    """The settings with fixed values for the searched ones, so that config.yaml's values do not matter."""
    fixed = {name: (d.choices or bounds(d))[0] for name, d in settings.search.space.items()}
    return with_values(settings, fixed)


def as_config(settings: Settings, values: dict[str, Any]) -> str:
    """The lines of config.yaml that set these values."""
    content: dict[str, Any] = {}
    if any(name.startswith("model.params.") for name in values):
        content["model"] = {"params": with_values(settings, values).model.params}
    train = {n.removeprefix("train."): v for n, v in values.items() if n.startswith("train.")}
    return yaml.safe_dump({**content, **({"train": train} if train else {})}, sort_keys=False)


def bounds(dimension: Dimension) -> list[Any]:
    """The lowest and the highest value of a numeric dimension, in its type."""
    kind = int if dimension.type == "int" else float
    return [kind(end) for end in (dimension.low, dimension.high) if end is not None]

"""The choices for a new project, and the text of its config.yaml."""

import json
import os
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlops_lib.cli.init.given import merged
from mlops_lib.cli.init.source import Source
from mlops_lib.cli.init.threshold import Threshold
from mlops_lib.errors import ConfigError
from mlops_lib.settings import Settings
from mlops_lib.settings.explain import explain

#: Task -> metric that the gate decides on, unless another is chosen.
METRICS = {"classification": "roc_auc", "regression": "r2", "ranking": "ndcg_at_k", "forecast": "mase"}
#: Characters of a line of config.yaml from which on its comment is above it.
WIDTH = 110
#: Label of settings for reading a source whose label is not chosen yet.
UNKNOWN = "-"
HEAD = "# The settings of this project; `mlops config` shows every one there is. Paths start from this file's folder."


@dataclass
class Choices:
    """Everything in config.yaml that depends on the table, with reasons for its comments.

    Attributes:
        name: Of experiment and model.
        source: Where the rows are.
        label, key, time, task, metric: The answers; `key` and `time` may be empty.
        data, model: Further settings of these sections.
        given: Dotted setting -> value, from the user; these win. Mappings add to those of `data`.
        reasons: Dotted setting -> why it has this value.
    """

    name: str
    source: Source
    label: str = ""
    key: str = ""
    time: str = ""
    task: str = "classification"
    metric: str = "roc_auc"
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def sections(self, threshold: Threshold | None) -> dict[str, dict[str, Any]]:
        """The content of config.yaml."""
        data: dict[str, Any] = {"source": self.source.address}
        if self.source.loader != "local":
            data["loader"] = self.source.loader
        if self.source.sql:
            data["sql"] = dict(self.source.sql)
        data |= {"label": self.label or UNKNOWN, "key": self.key} | self.data
        if self.time:
            data["split"] = {"by": "time", "column": self.time}
        judged: dict[str, Any] = {"task": self.task, "metric": self.metric, "threshold": 0.0}
        if threshold:
            judged |= {"baselines": (threshold.baseline,), "threshold": threshold.value}
        made: dict[str, dict[str, Any]] = {
            "mlflow": {"experiment": self.name},
            "data": data,
            "model": {"name": self.name, "wrapper": "sklearn", "implementation": "auto"} | self.model,
            "evaluation": judged,
        }
        for setting, value in self.given.items():
            if setting == "evaluation.threshold" and not self.label:  # the metric is not chosen yet
                continue
            *sections, name = setting.split(".")
            inner: dict[str, Any] = made
            for section in sections:
                inner = inner.setdefault(section, {})
            inner[name] = merged(inner.get(name), value)
        return made

    def settings(self, folder: Path, threshold: Threshold | None = None) -> Settings:
        """The settings of the project in `folder`, without environment variables
        other than the source's password.

        Raises:
            ConfigError: A setting does not allow its value.
        """
        try:
            password = os.environ.get("DATA_SOURCE_PASSWORD")
            more = {"root": folder.resolve(), "secrets": {"data_password": password} if password else {}}
            return Settings.model_validate(more | self.sections(threshold))
        except ValidationError as error:
            origins = {setting: f"--set {setting}" for setting in self.given}
            raise ConfigError(explain(error, origins, Path("the settings of the new project"))) from None

    def text(self, threshold: Threshold) -> str:
        """The text of config.yaml."""
        reasons = self.reasons | {
            "evaluation.baselines": "scored on the same rows; does not reach the threshold",
            "model.wrapper": "or lightning with implementation: tabular, a network",
        }
        if self.model:
            reasons["model.wrapper"] = "a small network; or one of your own, as package.module:Class"
        if threshold.is_given:
            reasons["evaluation.baselines"] = "scored on the same rows"
        for setting in self.given:  # the reason is the user's
            reasons.pop(setting, None)
        reasons["evaluation.threshold"] = f"{threshold.reason()}; a model that reaches it is registered"
        lines = [HEAD]
        for section, content in self.sections(threshold).items():
            lines += ["", f"{section}:"]
            for name, value in content.items():
                why = " ".join(reasons.get(f"{section}.{name}", "").split())
                line = f"  {name}: {yaml_text(value)}"
                one = f"{line}  # {why}" if why else line
                above = textwrap.wrap(why, WIDTH, initial_indent="  # ", subsequent_indent="  # ")
                lines += [one] if len(one) <= WIDTH else [*above, line]
        return "\n".join(lines) + "\n"


def project_name(folder: Path) -> str:
    """The name of experiment and model: the folder's, without characters that MLflow refuses in a name."""
    return re.sub(r"[/:]+", "-", folder.resolve().name) or "model"


def yaml_text(value: Any) -> str:
    """A value on one line, read by YAML as it is: a label `no` and a folder `2024` are texts."""
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{yaml_text(name)}: {yaml_text(inner)}" for name, inner in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(yaml_text, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[^\W\d]\w*(-\w+)*", value) and value.lower() not in _WORDS
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())


#: Words that YAML does not read as text.
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf")

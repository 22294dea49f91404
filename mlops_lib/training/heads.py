"""Labels of different kinds in one model: each is judged by a task of its own, beside the one that decides."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

from mlops_lib import plugins
from mlops_lib.columns.schema import Schema
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.settings.evaluation import score_prefix
from mlops_lib.settings.gate import GateSettings
from mlops_lib.training.labels import training_schema


class Head(NamedTuple):
    """An output of a model with the dataset whose one label it predicts, its settings, and its classes."""

    data_loader: BaseDataLoader
    config: Settings
    classes: Sequence[Any]


def of(data_loader: BaseDataLoader, config: Settings, classes: Sequence[Any] = ()) -> Iterator[Head]:
    """The head that decides, then those of ``evaluation.heads``; without any, dataset and settings as they are.

    Args:
        classes: Of the model, where it has one label.
    """
    chosen = config.evaluation
    if not chosen.heads:
        yield Head(data_loader, config, classes)
        return
    yield _head(data_loader, config, {"heads": {}})
    for label, task in chosen.heads.items():
        more = {"metrics": (), "baselines": (), "gate": GateSettings()}
        metric = plugins.names("metric", task)[0]
        changed = {"task": task, "output": label, "metric": metric, "heads": {}, **more}
        yield _head(data_loader, config, changed)


def together(reports: Sequence[EvaluationReport], config: Settings) -> EvaluationReport:
    """The report of the head that decides, with scores, tables, figures and notes of the others under their names."""
    report = reports[0]
    for label, other in zip(config.evaluation.heads, reports[1:], strict=True):
        added = {
            field: getattr(report, field)
            | {f"{score_prefix(label)}.{key}": value for key, value in getattr(other, field).items()}
            for field in ("metrics", "directions", "notes", "figures", "tables")
        }
        report = report.model_copy(update=added)
    return report


def with_output(config: Settings, name: str) -> Settings:
    """The settings with another ``evaluation.output``; "": the predictions as they are."""
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"output": name})})


def _head(data_loader: BaseDataLoader, config: Settings, changed: dict[str, Any]) -> Head:
    config = config.model_copy(update={"evaluation": config.evaluation.model_copy(update=changed)})
    schema, kind = _with_label(data_loader.schema, config.evaluation.output), type(data_loader)
    found = copy(data_loader)
    # Whether the loader has it as a property, a cached one or an attribute.
    found.__class__ = type(kind.__name__, (kind,), {"schema": property(lambda self: schema)})
    return Head(found, config, training_schema(found, config.evaluation.task).classes)


def _with_label(schema: Schema, label: str) -> Schema:
    """The same columns with one label; the others stay, and are ignored."""
    columns = (
        replace(column, role="ignored") if column.role == "label" and column.name != label else column
        for column in schema.columns
    )
    return Schema(tuple(columns))

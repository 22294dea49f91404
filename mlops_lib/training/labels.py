"""The schema that a model is trained on."""

from dataclasses import replace
from typing import Any

from mlops_lib.columns.schema import Schema
from mlops_lib.errors import TrainingError
from mlops_lib.loaders.base import BaseDataLoader


def training_schema(data_loader: BaseDataLoader, task: str) -> Schema:
    """The schema of a dataset; for a classification, with the classes of the train split.

    Raises:
        TrainingError: The label is no class label, or the train split has rows of one class alone.
    """
    schema = data_loader.schema
    if task != "classification" or len(schema.labels) > 1:  # each of `heads.of` has classes of its own
        return replace(schema, classes=())
    if not schema.classes:  # a loader of the user's own need not know them
        found: set[Any] = set()
        for rows in data_loader.parts("train"):
            found |= set(rows[schema.label].dropna().unique().tolist())
        if fractions := [value for value in found if isinstance(value, float) and value % 1]:
            raise TrainingError(
                f"Column {schema.label!r} is no class label: it has {len(found)} values, one of them {fractions[0]}. "
                "Set evaluation.task: regression (with a metric and a threshold for it), or make classes in "
                "data.prepare."
            )
        whole = (int(value) if isinstance(value, float) else value for value in found)
        schema = replace(schema, classes=tuple(sorted(whole)))
    if len(schema.classes) < 2:
        raise TrainingError(
            f"All rows of the train split have the label {schema.classes[0]!r}; a classifier needs rows of two "
            "classes. Give more rows, or set data.split: {by: label}."
        )
    return schema

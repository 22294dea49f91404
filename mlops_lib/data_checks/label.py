"""Check that the label suits ``evaluation.task``, before a model is trained on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins
from mlops_lib.columns.alike import classes_alike
from mlops_lib.columns.kinds import SIZES
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.data_checks import forecast, ranking
from mlops_lib.errors import DataError
from mlops_lib.loaders.splits import SPLITS
from mlops_lib.settings import Settings
from mlops_lib.wording import listed

if TYPE_CHECKING:
    import pyarrow as pa

#: Numbers with more distinct values than this are classes only if most of them have rows to learn from.
MAX_NUMBERED_CLASSES, MIN_ROWS, MAX_RARE_SHARE = 20, 5, 0.1
SHOWN = 5
#: Kinds of labels that are numbers in a batch.
NUMBERS = ("number", "integer", "boolean")
#: Tasks with several labels, and what each label holds.
SEVERAL = {"multilabel": "0 and 1, or true and false", "multioutput": "numbers"}
REGRESSION = (
    "To predict a number, set evaluation.task: regression with a metric and a threshold for it, such as metric: r2 "
    "and threshold: 0.1."
)


def require(settings: Settings, schema: Schema, folder: Path, is_whole: bool = True) -> None:
    """Check the label of a written dataset.

    Args:
        settings: ``evaluation.task`` and ``evaluation.unknown_class`` are read.
        schema: Of the dataset.
        folder: Has the Parquet file of each split.
        is_whole: Whether these have all rows of the source.

    Raises:
        DataError: The label is no class label, or no number, or validation or test has a class
            that train lacks; there are several labels, and the task has one. See
            `ranking.require` and `forecast.require` too.
    """
    labels = [column for column in schema.columns if column.role == "label"]
    task, heads = settings.evaluation.task, settings.evaluation.heads
    if task in plugins.TABLE["task"] and task != "text":  # a text may be judged by lists and objects
        for label in labels:
            _require_one_value(label, folder)
    if heads:
        for label in labels:
            classes = _require_head(label, heads.get(label.name, task), folder)
            if classes and settings.evaluation.unknown_class == "error":
                _require_known_classes(classes, label, folder)
        return
    if len(labels) > 1 or task in SEVERAL:
        _require_several(task, labels, folder)
        return
    if not labels:
        return
    label = labels[0]
    files = {split: folder / f"{split}.parquet" for split in SPLITS}
    if task == "ranking":
        ranking.require(schema, label, files, settings.evaluation.gate.slices)
    if task == "forecast":
        forecast.require(schema, label, files, is_whole)
    if task == "loss" and label.kind not in NUMBERS:
        raise DataError(
            f"Column {label.name!r} holds {label.kind} values{_such_as(folder, label)}, and evaluation.task loss judges the "
            "network's own loss: batches have the label as a number. Name a column of numbers in data.label, or make one in "
            "data.prepare; the loss need not use it."
        )
    if task == "regression" and label.kind not in NUMBERS:
        is_size = any(hint in label.reason for hint in SIZES)
        remedy = (
            "Store them as numbers in the source, or make numbers of them in data.prepare."
            if is_size
            else "Set evaluation.task: classification with a metric and a threshold for it, or name another data.label."
        )
        raise DataError(
            f"Column {label.name!r} holds {label.kind} values{_such_as(folder, label)}, and a regression predicts "
            f"numbers. {remedy}"
        )
    if task == "classification":
        _require_classes(schema, label, folder)
        if settings.evaluation.unknown_class == "error":
            _require_known_classes(schema.classes, label, folder)


def several_in_one(name: str, values: "pa.ChunkedArray", where: str) -> str:
    """Why a label cannot be a list or a structure, and what to do; "" if it is none.

    Args:
        where: Of the rows, such as "the train split".
    """
    import pyarrow as pa

    if not pa.types.is_nested(values.type):
        return ""
    row, value = next(((at, one) for at, one in enumerate(values.to_pylist()) if one), (0, None))
    first = value[0] if isinstance(value, list) else None
    example = (
        f": rows[{first!r}] = [{first!r} in one for one in rows[{name!r}]]" if isinstance(first, str) else ""
    )
    return (
        f"Column {name!r} holds lists or structures ({values.type}), such as {str(value)[:80]} in row {row} of {where}, and a label "
        f"is one value. For several labels in a row, make a column for each of them in data.prepare{example}. List these columns in "
        "data.label, and set evaluation.task: multilabel for true and false, multioutput for numbers."
    )


def _require_one_value(label: Column, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if pa.types.is_nested(pq.read_schema(file := folder / "train.parquet").field(label.name).type):
        values = pq.read_table(file, columns=[label.name]).column(0)
        raise DataError(several_in_one(label.name, values, "the train split"))


def _require_several(task: str, labels: Sequence[Column], folder: Path) -> None:
    """Check several labels: yes/no of each for multilabel, numbers for multioutput."""
    named = ", ".join(repr(label.name) for label in labels)
    if task in SEVERAL and len(labels) < 2:
        raise DataError(
            f"evaluation.task {task} predicts several labels, and data.label names {named or 'none'}. List the label "
            "columns in data.label, or set the task classification or regression."
        )
    if task == "forecast":
        raise DataError(
            f"data.label names {len(labels)} columns ({named}), and evaluation.task forecast predicts one number for each row. "
            "For several horizons, make a row for each of them in data.prepare, with the horizon as a feature and in data.key."
        )
    if task not in SEVERAL and task in plugins.TABLE["task"]:
        raise DataError(
            f"data.label names {len(labels)} columns ({named}), and evaluation.task {task} predicts one. Set "
            "evaluation.task: multilabel for yes/no labels (with metric: mean_roc_auc), or multioutput for numbers "
            "(with metric: mean_r2). For labels of different kinds, set evaluation.output to the label that the gate decides on, and "
            "evaluation.heads to the task of each other label."
        )
    for label in labels:
        if label.kind not in NUMBERS:
            remedy = (
                "write yes and no as true and false" if task == "multilabel" else "name columns of numbers"
            )
            raise DataError(
                f"Label {label.name!r} holds {label.kind} values{_such_as(folder, label)}; {task} takes "
                f"{SEVERAL.get(task, 'numbers')}. In the source or in data.prepare, {remedy}."
            )
        if task == "multilabel" and label.kind != "boolean":
            for split in SPLITS:
                values = _counts(folder, split, label.name).field("values").to_pylist()
                if odd := [value for value in values if value not in (0, 1)]:
                    raise DataError(
                        f"Label {label.name!r} has the value {odd[0]!r} in the {split} split; multilabel takes "
                        f"{SEVERAL[task]}. For numbers set evaluation.task: multioutput."
                    )
        _require_two_values(label)


def _require_head(label: Column, task: str, folder: Path) -> Sequence[Any]:
    """Check one of several labels of different kinds; return the classes of a classification, which are numbers from 0."""
    _require_two_values(label)
    wanted = "numbers" if task == "regression" else "the numbers of classes, from 0, or true and false"
    classes: Sequence[Any] = ()
    if task == "classification" and label.kind in NUMBERS:
        classes = sorted(_counts(folder, "train", label.name).field("values").to_pylist())
    if label.kind not in NUMBERS or list(classes) != list(range(len(classes))):
        raise DataError(
            f"Label {label.name!r} holds {label.kind} values{_such_as(folder, label)}, and the task {task} beside other labels "
            f"takes {wanted}: a batch has all labels as one float32 tensor. Make them in data.prepare."
        )
    return classes


def _require_two_values(label: Column) -> None:
    if label.distinct < 2:
        raise DataError(
            f"Label {label.name!r} has one value in all rows of the train split, so there is nothing to learn. Give "
            "other rows, or take it out of data.label."
        )


def _require_classes(schema: Schema, label: Column, folder: Path) -> None:
    if not schema.classes:
        raise DataError(
            f"Column {label.name!r} is no class label: it holds {label.kind} values{_such_as(folder, label)}, "
            f"{label.distinct} of them distinct. {REGRESSION}"
        )
    if len(schema.classes) == 1:
        raise DataError(
            f"All rows of the train split are of class {schema.classes[0]!r} in column {label.name!r}, so there is "
            "nothing to learn. Give rows of other classes; data.split: {by: label} puts rows of each class into every "
            "split."
        )
    if problem := classes_alike(schema.classes):
        raise DataError(f"Column {label.name!r} {problem}")
    if label.kind in ("integer", "number") and len(schema.classes) > MAX_NUMBERED_CLASSES:
        counts = _counts(folder, "train", label.name).field("counts").to_numpy()
        rare = int((counts < MIN_ROWS).sum())
        if rare > MAX_RARE_SHARE * len(counts):
            raise DataError(
                f"Column {label.name!r} has {len(counts)} distinct numbers in the train split{_such_as(folder, label)}, "
                f"{rare} of them in fewer than {MIN_ROWS} rows, so they are no classes to learn. {REGRESSION} If the "
                "numbers are names of classes, leave out the rare ones."
            )


def _require_known_classes(classes: Sequence[Any], label: Column, folder: Path) -> None:
    for split in ("validation", "test"):
        counts = _counts(folder, split, label.name)
        unknown = [
            f"{value!r} (rows: {rows})"
            for value, rows in zip(*(part.to_pylist() for part in counts.flatten()), strict=True)
            if value not in classes
        ]
        if unknown:
            raise DataError(
                f"Column {label.name!r} has classes in the {split} split that the train split lacks: "
                f"{listed(unknown, SHOWN)}. No model can learn them. Give "
                "train rows of them; data.split: {by: label} puts rows of each class into every split. Or set "
                "evaluation.unknown_class: wrong, which counts such rows as wrong."
            )


def _counts(folder: Path, split: str, label: str) -> "pa.StructArray":
    """Each value of the label in a split, and its number of rows."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return pc.value_counts(pq.read_table(folder / f"{split}.parquet", columns=[label]).column(0))


def _such_as(folder: Path, label: Column) -> str:
    """The first values of the label, for a message."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / "train.parquet") as stored:
        first = next(stored.iter_batches(1000, columns=[label.name])).column(0)
    values = [str(value)[:40] for value in first.drop_null().unique().to_pylist()[:SHOWN]]
    return f" such as {', '.join(values)}" if values else ""

"""Infer the kind and role of each column from the rows of the train split."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.agreement import require_agreement, require_weights
from mlops_lib.columns.classes import classes_of
from mlops_lib.columns.date_forms import ORDERS
from mlops_lib.columns.facts import Facts
from mlops_lib.columns.image_checks import checked
from mlops_lib.columns.kinds import kind_of, overridden, useless
from mlops_lib.columns.memory import rows_at_once
from mlops_lib.columns.schema import LARGEST, Column, Schema
from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are looked at together.
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Declared:
    """What config.yaml says about the columns.

    Attributes:
        label: Names of the columns to predict; one may stand alone. "" for none.
        key, time, weight: Names of columns with these roles; "" for none.
        features: Columns to learn from; empty: all that carry information.
        references: Columns of the reference beside the label.
        missing: ``data.missing_values``, for columns that come from the source as they are.
        kinds: Kinds that config.yaml sets (``data.columns``); "drop" leaves a column out.
        task: ``evaluation.task``; for ``text`` every feature is text and none is left out.
    """

    label: str | tuple[str, ...]
    key: str = ""
    time: str = ""
    weight: str = ""
    features: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    task: str = ""
    references: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns to predict."""
        return names_of(self.label)

    @property
    def roles(self) -> dict[str, str]:
        """Column -> role, of the columns with a role of their own."""
        named = {self.time: "time", self.weight: "weight", self.key: "key"} | dict.fromkeys(
            self.labels, "label"
        )
        named = dict.fromkeys(self.references, "reference") | named
        return {name: role for name, role in named.items() if name}

    @property
    def fits(self) -> bool:
        """Whether a model is fitted to the rows, so that train and validation must have some."""
        return self.task != "text"

    def check(self, names: Iterable[str]) -> None:
        """Check that the names fit together, and the columns that there are.

        Raises:
            DataError: A column is not there, or is named twice.
        """
        names = list(names)
        if twice := _twice(names):
            raise DataError(
                f"The data has several columns named {twice!r}. Rename all but one in the source."
            )
        special = [name for name in (*self.labels, self.key, self.time, self.weight) if name]
        special += self.references
        if unknown := [name for name in (*self.kinds, *self.features, *special) if name not in names]:
            raise DataError(
                f"config.yaml names the columns {', '.join(map(repr, unknown))} in section data, and the data has no "
                f"such columns. Columns it has: {', '.join(names)}."
            )
        if twice := _twice(special):
            raise DataError(
                f"config.yaml names {twice!r} as two of data.label, data.key, data.weight, data.reference_columns "
                "and the time of the split. A column has one role."
            )
        if twice := _twice(self.features):
            raise DataError(f"data.features lists {twice!r} twice.")
        for setting, listed in (("data.features", self.features), ("data.columns", tuple(self.kinds))):
            if clash := [name for name in listed if name in special]:
                raise DataError(
                    f"{setting} names {clash[0]!r}, the {self.roles[clash[0]]} of the data, and only features belong "
                    f"there. Take it out of {setting}."
                )
        if dropped := [name for name in self.features if self.kinds.get(name) == "drop"]:
            raise DataError(
                f"data.features lists {dropped[0]!r}, and data.columns drops it. Take out one of them."
            )


def names_of(label: str | tuple[str, ...]) -> tuple[str, ...]:
    """The names in a setting that is one name or several; none of an empty one."""
    names = (label,) if isinstance(label, str) else label
    return tuple(name for name in names if name)


def infer(rows: "pa.Table", declared: Declared) -> Schema:
    """The schema of rows of the train split; `complete` it if they are a sample.

    Raises:
        DataError: `declared` names a column that is not there, twice, or with a kind that it cannot have.
    """
    declared.check(rows.column_names)
    facts = {name: Facts(rows.schema.field(name).type) for name in rows.column_names}
    for name, found in facts.items():
        for part in rows.column(name).chunks:
            found.add(part)
    return _schema(facts, declared)


def complete(schema: Schema, splits: Mapping[Any, Path], declared: Declared | None = None) -> Schema:
    """The schema inferred anew from the whole train split, with the gaps of all splits.

    Args:
        schema: Of a sample of the train split, with the columns that are not in the files.
        splits: The Parquet file of each split.
        declared: What is known about the columns; None: kinds and roles stay as they are.

    Raises:
        DataError: Validation or test has values that the train split's kinds do not take;
            see `require_agreement`. A weight is missing, negative or infinite. Images
            cannot be read; see `checked`.
    """
    basis = _basis(splits)
    facts = {split: _facts(file, count=split == basis) for split, file in splits.items()}
    train = facts[basis]
    if schema.weight:
        require_weights(schema.weight, {split: part[schema.weight] for split, part in facts.items()})
    found = {column.name: column for column in schema.columns}
    if declared:
        found |= {column.name: column for column in _schema(train, declared).columns}
    else:
        found |= {name: _measured(found[name], one) for name, one in train.items() if name in found}
    for column in found.values():
        gaps = any(one.known < one.rows for part in facts.values() if (one := part.get(column.name)))
        found[column.name] = replace(column, nullable=gaps)
        _require_exact(found[column.name], train.get(column.name))
        if column.role == "feature" and column.kind == "image":
            found[column.name] = checked(found[column.name], splits, schema.key)
    for split in (split for split in splits if split != basis):
        for name, one in facts[split].items():
            if found[name].role == "feature":
                require_agreement(found[name], train[name], one, split, splits[split])
    return replace(schema, columns=tuple(found.values()), classes=_classes(found.values(), train, declared))


def _require_exact(column: Column, facts: Facts | None) -> None:
    """Check that values which are names, not sizes, survive as floats: decimals are, integers beside fractions,
    float32, and in a DataFrame integers with gaps."""
    sizes = [abs(one) for one in (column.least, column.most) if one is not None]
    named = column.role == "feature" and column.kind in ("category", "text")
    floats = column.stored == "double" or (column.stored == "int64" and column.nullable)
    if named and floats and max(sizes, default=0) >= 2**53:
        what = (
            "numbers beyond 2**53"
            if column.stored == "double"
            else "integers beyond 2**53 with missing values"
        )
        raise DataError(
            f"Column {column.name!r} is a {column.kind} of {what}, which cannot be told apart once they are floats. Store the "
            "column as text, or leave it out with data.columns (drop)."
        )
    is_category = named and column.kind == "category" and column.stored == "double"
    if is_category and facts and (single := _single_precision(facts)):
        short, value = single
        raise DataError(
            f"Column {column.name!r} is a category of float32 numbers: {short} is {value!r} there, and a request with {short} would "
            "be in no category. Store the column as text or with 64 bits, or leave it out with data.columns (drop)."
        )


def _single_precision(facts: Facts) -> tuple[str, float] | None:
    """A number with fewer digits, and what became of it in float32, if all fractions came from there."""
    import numpy as np

    assert facts.values is not None  # numbers have equality
    values = facts.values.to_numpy()
    values = values[np.abs(values) <= LARGEST]
    values = values[values % 1 != 0]
    if (values != values.astype("float32")).any():
        return None
    found = ((str(np.float32(value)), float(value)) for value in values)
    return next(((short, value) for short, value in found if len(short) < len(repr(value))), None)


def _basis(splits: Mapping[Any, Path]) -> str:
    """The split to infer from: train, or test where train has no rows,
    as in a golden set that is judged whole."""
    import pyarrow.parquet as pq

    return "train" if pq.read_metadata(splits["train"]).num_rows else "test"


def _facts(file: Path, count: bool) -> dict[str, Facts]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file, pre_buffer=False) as stored:
        facts = {field.name: Facts(field.type, count) for field in stored.schema_arrow}
        for batch in stored.iter_batches(rows_at_once(stored, BATCH_ROWS)):
            for name, values in zip(batch.schema.names, batch.columns, strict=True):
                facts[name].add(values)
    return facts


def _schema(facts: Mapping[str, Facts], declared: Declared) -> Schema:
    columns = _labels_as_declared((_column(name, one, declared) for name, one in facts.items()), declared)
    schema = Schema(columns, _classes(columns, facts, declared))
    return schema.with_features(declared.features) if declared.features else schema


def _labels_as_declared(columns: Iterable[Column], declared: Declared) -> tuple[Column, ...]:
    """Several labels in the order of config.yaml, in the places of the labels:
    so are the numbers of a prediction."""
    found = {column.name: column for column in columns}
    labels = (found[name] for name in declared.labels if found[name].role == "label")
    return tuple(next(labels) if column.role == "label" else column for column in found.values())


def _column(name: str, facts: Facts, declared: Declared) -> Column:
    role, given = declared.roles.get(name, "feature"), declared.kinds.get(name, "")
    kind, reason = kind_of(facts)
    if role != "feature":
        setting = {"time": "the time of the split", "reference": "data.reference_columns"}
        reason = f"{setting.get(role, f'data.{role}')}; {reason}"
    if declared.task == "text" and role in ("feature", "label"):
        kind, reason = "text", "a column of the text task"
    elif given == "drop":
        role, reason = "unused", "left out by data.columns"
    elif given:
        kind, reason = overridden(name, given, facts)
    elif role == "feature" and (why := useless(facts, kind)):
        if name in declared.features:
            reason = f"{reason}; listed in data.features"
        else:
            role, reason = "ignored", why
    order = given if given in ORDERS else ""
    column = Column(name, kind, role, reason, date_order=order, missing=declared.missing)  # type: ignore[arg-type]
    return _measured(column, facts)


def _measured(column: Column, facts: Facts) -> Column:
    """The column with the numbers of its facts."""
    least, most = (facts.least, facts.most) if facts.is_number else (None, None)
    return replace(
        column,
        stored=str(facts.type),
        nullable=facts.known < facts.rows,
        distinct=facts.distinct,
        least=None if least is None else float(least),
        most=None if most is None else float(most),
        infinite=facts.infinite,
        width=0 if -1 in facts.shape or not facts.shape else math.prod(facts.shape),
        shape=facts.shape,
        date_order=(column.date_order or facts.date_order) if column.kind == "datetime" else "",
    )


def _classes(
    columns: Iterable[Column], facts: Mapping[str, Facts], declared: Declared | None
) -> tuple[Any, ...]:
    labels = [column for column in columns if column.role == "label"]
    if len(labels) != 1 or labels[0].name not in facts:
        return ()
    if declared and declared.task in ("regression", "text", "ranking", "forecast"):
        return ()
    return classes_of(facts[labels[0].name], labels[0].kind)


def _twice(names: Iterable[str]) -> str:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), "")  # type: ignore[func-returns-value]

"""Infer the kind and role of each column from the rows of the train split."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.schema import Column, Kind, Role, Schema
from mlops_lib.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

#: A label with more values than this is no class label.
MAX_CLASSES = 1_000
#: Rows from which "distinct in every row" means something.
MIN_ROWS_OF_ID = 20
#: Words and letters of an average value from which text is prose.
PROSE_WORDS, PROSE_LETTERS = 4, 40
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")


@dataclass(frozen=True)
class Declared:
    """What config.yaml says about the columns.

    Attributes:
        label, key, time, weight: Names of columns with these roles; "" for none.
        features: Columns to learn from; empty: all that carry information.
        kinds: Kinds that config.yaml sets (``data.columns``); "drop" leaves a column out.
        task: ``evaluation.task``; for ``text`` every feature is text and none is left out.
    """

    label: str
    key: str = ""
    time: str = ""
    weight: str = ""
    features: tuple[str, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    task: str = ""


def infer(rows: "pa.Table", declared: Declared) -> Schema:
    """The schema of rows of the train split; `complete` it if they are a sample.

    Raises:
        DataError: `declared` names a column that is not there.
    """
    one = declared
    named = {one.time: "time", one.weight: "weight", one.key: "key", one.label: "label"}
    roles: dict[str, Any] = {name: role for name, role in named.items() if name}
    if unknown := [name for name in (*one.kinds, *one.features, *roles) if name not in rows.column_names]:
        raise DataError(
            f"config.yaml names the columns {', '.join(map(repr, unknown))} in section data, and the data has no such "
            f"columns. Columns it has: {', '.join(rows.column_names)}."
        )
    found = tuple(
        _column(name, rows.column(name), roles.get(name, "feature"), one) for name in rows.column_names
    )
    schema = Schema(found)
    if one.label:
        schema = replace(schema, classes=_classes(schema, rows.column(one.label)))
    return schema.with_features(one.features) if one.features else schema


def complete(schema: Schema, train: Path) -> Schema:
    """The schema with the gaps and the classes of the whole train split, a Parquet file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(train) as file:
        empty = {name: file.read(columns=[name]).column(0).null_count for name in file.schema_arrow.names}
        columns = tuple(replace(c, nullable=empty.get(c.name, c.nullable) > 0) for c in schema.columns)
        classes = _classes(schema, file.read(columns=[schema.label]).column(0)) if schema.label else ()
    return Schema(columns, classes)


def _column(name: str, values: "pa.ChunkedArray", role: Role, declared: Declared) -> Column:
    kind, reason, distinct, width = _kind(values)
    given, of_text = declared.kinds.get(name, ""), declared.task == "text"
    if given and given != "drop":
        kind, reason = given, "set in data.columns"  # type: ignore[assignment]
    elif of_text and role in ("feature", "label"):
        kind, reason = "text", "a column of the text task"
    if given == "drop":
        role, reason = "unused", "left out by data.columns"
    elif role == "feature" and not (name in declared.features or given or of_text):
        why = _useless(values, kind, distinct)
        role, reason = ("ignored", why) if why else (role, reason)
    return Column(name, kind, role, reason, values.null_count > 0, distinct, width)


def _kind(values: "pa.ChunkedArray") -> tuple[Kind, str, int, int]:
    """Kind, reason, number of distinct values and width of an array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, rows = values.type, len(values)
    if pa.types.is_dictionary(kind):
        return _kind(values.cast(kind.value_type))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.list_value_length(values).drop_null()
        width = pc.max(lengths).as_py() or 0
        return "array", f"lists of {width} values", 0, width
    if pa.types.is_nested(kind):
        return "text", f"{kind}: no kind for it", 0, 0
    distinct = pc.count_distinct(values).as_py()
    if pa.types.is_boolean(kind):
        return "boolean", "true and false", distinct, 0
    if pa.types.is_integer(kind):
        return "integer", "whole numbers", distinct, 0
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number", "numbers", distinct, 0
    if pa.types.is_temporal(kind):
        return "datetime", str(kind), distinct, 0
    if pa.types.is_null(kind):
        return "number", "no value in any row", 0, 0
    texts = [text for text in pc.unique(values).to_pylist() if text is not None]
    if texts and all(isinstance(t, str) and _ISO.fullmatch(t) for t in texts):
        return "datetime", f"every text is a date, such as {texts[0]!r}", distinct, 0
    letters = sum(map(len, texts)) / max(len(texts), 1)
    words = sum(len(str(t).split()) for t in texts) / max(len(texts), 1)
    if distinct > rows / 2 and (words >= PROSE_WORDS or letters >= PROSE_LETTERS):
        return "text", f"{words:.0f} words in an average value", distinct, 0
    return "category", f"{distinct:,} distinct texts in {rows:,} rows", distinct, 0


def _useless(values: "pa.ChunkedArray", kind: Kind, distinct: int) -> str:
    """Why a column is left out; "" for one that is not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_nested(values.type) and kind != "array":
        return f"{values.type}: name its kind in data.columns to keep it"
    known = len(values) - values.null_count
    if known == 0 and len(values):
        return "no value in any row"
    if distinct < known or known < MIN_ROWS_OF_ID or kind not in ("category", "integer"):
        return ""
    if kind == "integer":
        least, most = pc.min(values).as_py(), pc.max(values).as_py()
        if most - least > 2 * known:
            return ""
    return "distinct in every row: left out; name it in data.columns to keep it"


def _classes(schema: Schema, labels: "pa.ChunkedArray") -> tuple[Any, ...]:
    """The sorted classes, whole numbers as integers; none for a label of fractions or prose."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = next(column.kind for column in schema.columns if column.name == schema.label)
    if kind not in ("category", "boolean", "integer", "number"):
        return ()
    if pa.types.is_dictionary(labels.type):
        labels = labels.cast(labels.type.value_type)
    values = [value for value in pc.unique(labels).to_pylist() if value is not None]
    if len(values) > MAX_CLASSES:
        return ()
    if kind == "number":
        if any(not math.isfinite(value) or value % 1 for value in values):
            return ()
        values = [int(value) for value in values]
    return tuple(sorted(values))

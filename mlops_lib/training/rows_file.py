"""`JudgedRows` as a Parquet file: a row each, everything else in the metadata of the schema."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.redact import mask_secrets

if TYPE_CHECKING:
    import pyarrow as pa

#: Key of the schema's metadata with the fields that are no column.
METADATA_KEY = b"mlops.judged_rows"
#: The only key of the object that stands for a time in the JSON of a reference.
TIME = "__time__"
SLICE, VALUE, FACT = "slice.", "value.", "fact."


def write(rows: JudgedRows, file: Path) -> None:
    """Write rows, without secrets: an answer or an error may hold one.

    Raises:
        EvaluationError: Truth or predictions have no column form.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "id": pa.array(rows.ids, pa.string()),
        "entity": pa.array(rows.entities, pa.string()),
        "truth": _column(rows.truth, "truth"),
        "predicted": _column(rows.predicted, "predictions"),
    }
    if rows.weights is not None:
        columns["weight"] = pa.array(rows.weights, pa.float64())
    for name, texts in rows.slices.items():
        columns[f"{SLICE}{name}"] = pa.array(texts, pa.string()).dictionary_encode()
    for name, values in rows.values.items():
        columns[f"{VALUE}{name}"] = pa.array(values, pa.float64())
    for name, facts in rows.facts.items():
        columns[f"{FACT}{name}"] = pa.array(facts)
    if rows.references:
        columns["references"] = pa.array([_json(one) for one in rows.references], pa.string())
    if rows.errors:
        columns["error"] = pa.array([mask_secrets(error) for error in rows.errors], pa.string())
    if rows.cost_usd:
        columns["cost_usd"] = pa.array(rows.cost_usd, pa.float64())
    more = {
        "task": rows.task,
        "classes": [one.item() if isinstance(one, np.generic) else one for one in rows.classes],
        "latency_s": list(rows.latency_s),
        "arrays": [name for name in ("truth", "predicted") if isinstance(getattr(rows, name), np.ndarray)],
    }
    metadata = {METADATA_KEY: json.dumps(more, ensure_ascii=False).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file, compression="zstd")


def read(file: Path) -> JudgedRows:
    """The rows in a file.

    Raises:
        EvaluationError: The file holds no such rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
        more = json.loads((table.schema.metadata or {})[METADATA_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise EvaluationError(f"{file.name} holds no rows of an evaluation: {error}.") from None

    def values(name: str) -> Any:
        return table[name].to_pylist() if name in table.column_names else ()

    def of_group(prefix: str) -> dict[str, list[Any]]:
        names = [name for name in table.column_names if name.startswith(prefix)]
        return {name.removeprefix(prefix): table[name].to_pylist() for name in names}

    truth, predicted = (
        _values(table[name], is_array=name in more["arrays"]) for name in ("truth", "predicted")
    )
    return JudgedRows(
        task=more["task"],
        ids=values("id"),
        entities=values("entity"),
        truth=truth,
        predicted=predicted,
        classes=more["classes"],
        weights=table["weight"].to_numpy() if "weight" in table.column_names else None,
        slices=of_group(SLICE),
        values=of_group(VALUE),
        errors=values("error"),
        latency_s=more["latency_s"],
        cost_usd=values("cost_usd"),
        facts=of_group(FACT),
        references=[json.loads(one, object_hook=_time) for one in values("references")],
    )


def _column(values: Any, what: str) -> "pa.Array":
    import pyarrow as pa

    try:
        if isinstance(values, np.ndarray) and values.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(
                pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1]
            )
        if isinstance(values, np.ndarray) and values.dtype != object:
            return pa.array(values)
        return pa.array([mask_secrets(one) if isinstance(one, str) else one for one in values])
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise EvaluationError(f"The {what} cannot be stored as a column: {error}.") from None


def _json(references: Mapping[str, Any]) -> str:
    """The columns of a row's reference; an array becomes a list, and a time an object of its own form."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):  # of pandas too
            return {TIME: value.isoformat()}
        if isinstance(value, np.ndarray | np.generic):
            return value.tolist()
        raise TypeError(f"{value!r} is no value of JSON")

    try:
        return mask_secrets(json.dumps(dict(references), ensure_ascii=False, default=plain))
    except (TypeError, ValueError) as error:
        raise EvaluationError(f"The reference columns cannot be stored: {error}.") from None


def _time(value: dict[str, Any]) -> Any:
    """An object of JSON, or the time that it stands for."""
    import pandas as pd

    return pd.Timestamp(value[TIME]) if value.keys() == {TIME} else value


def _values(column: "pa.ChunkedArray", is_array: bool) -> Any:
    import pyarrow as pa

    if not is_array:
        return column.to_pylist()
    whole = column.combine_chunks()
    if pa.types.is_fixed_size_list(whole.type):
        return whole.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), whole.type.list_size)
    if pa.types.is_string(whole.type):
        return np.array(whole.to_pylist(), dtype=object)
    return whole.to_numpy(zero_copy_only=False)

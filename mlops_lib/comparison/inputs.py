"""The rows of an evaluation as short texts, for the tables of rows that changed."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib import loaders
from mlops_lib.errors import DataError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.settings import Settings
from mlops_lib.training.judged_rows import row_digests
from mlops_lib.training.llm_comparison import recorded_rows

if TYPE_CHECKING:
    from mlops_lib.loaders.base import BaseDataLoader


def row_texts(
    settings: Settings, run_id: str, ids: Sequence[str], dataset: "BaseDataLoader | None" = None
) -> list[str]:
    """Each row's features as text; empty where neither the run nor the prepared data has these rows.

    Args:
        run_id: Run whose evaluation may have stored its inputs; "": none.
        ids: Of the rows.
        dataset: The prepared data; None: opened if it is there.
    """
    if run_id and settings.evaluation.task == "text":
        rows = recorded_rows(run_id, "test")
        if rows is not None and len(rows) == len(ids) and "input" in rows:
            return [str(value) for value in rows["input"]]
    try:
        found = _texts(dataset or loaders.prepared(settings))
    except DataError:
        return []
    return [found.get(one, "") for one in ids] if any(one in found for one in ids) else []


def row_names(rows: JudgedRows) -> list[str]:
    """The position of each row in its split, counted from 0, and its key; `03_evaluate` shows the same."""
    has_key = list(rows.keys) != list(rows.ids)
    return [f"row {at}{f', key {key}' if has_key else ''}" for at, key in enumerate(rows.keys)]


def _texts(dataset: "BaseDataLoader") -> dict[str, str]:
    schema = dataset.schema
    names = [*([schema.key] if schema.key else []), *schema.features]
    return {
        f"{digest:016x}": _text(dict(zip(names, values, strict=True)))
        for rows in dataset.parts("test")
        for digest, values in zip(row_digests(rows), rows[names].itertuples(index=False), strict=True)
    }


def _text(row: dict[str, Any]) -> str:
    """A row of one column is that value; others are JSON."""
    if len(row) == 1:
        return str(next(iter(row.values())))
    shown = {
        name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()
    }
    return json.dumps(shown, ensure_ascii=False, default=str)

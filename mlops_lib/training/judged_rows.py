"""Collect the rows of an evaluation for the gate: ids, entities, slices, and one model's predictions."""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib import plugins
from mlops_lib.columns.schema import Schema
from mlops_lib.data_checks import named_columns
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.judged import COUNTED, JudgedRows
from mlops_lib.evaluation.metrics.json_values import text_of
from mlops_lib.llm.generation import Generation
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

#: Text of a missing value in a slice.
MISSING = "missing"
#: Rows whose latency is measured one at a time, after the first, which is the warm-up.
LATENCY_ROWS = 30


class Collector:
    """Collects the rows of a split part by part, with a model's predictions.

    Attributes:
        references: The columns of ``data.reference_columns`` of the N rows; empty without such columns.
    """

    def __init__(self, config: Settings, schema: Schema) -> None:
        self.config, self.schema = config, schema
        named_columns.require_slices(config, schema)
        self._slices = {name: _slice_of(name, schema) for name in config.evaluation.gate.slices}
        self._truth: list[Any] = []
        self._predicted: list[Any] = []
        self._weights: list[np.ndarray] = []
        self.references: list[dict[str, Any]] = []
        self._ids: list[np.ndarray] = []
        self._entities: list[list[str]] = []
        self._values: dict[str, list[list[str]]] = {name: [] for name in self._slices}

    def add(self, rows: "pd.DataFrame", predicted: Any) -> None:
        """Add rows of the data as read, and the predictions for them."""
        schema = self.schema
        self._truth.append(truth_of(rows, schema))
        self._predicted.append(predicted)
        if schema.references:
            self.references += rows[schema.references].to_dict("records")
        if schema.weight:
            self._weights.append(rows[schema.weight].to_numpy())
        self._ids.append(row_digests(rows))
        if schema.key:
            self._entities.append(as_texts(rows[schema.key]))
        for name, values in self._slices.items():
            self._values[name].append(values(rows))

    @property
    def truth(self) -> Any:
        """N true values."""
        return joined(self._truth)

    @property
    def predicted(self) -> Any:
        """N predictions, as the model gave them."""
        return joined(self._predicted)

    @property
    def weights(self) -> np.ndarray | None:
        """Weights of the N rows; None without a column of weights."""
        return joined(self._weights) if self._weights else None

    @property
    def facts(self) -> dict[str, Any]:
        """What the task may need to know about the N rows: their keys as text, where the data has a key."""
        return {"key": list(chain.from_iterable(self._entities))} if self.schema.key else {}

    @property
    def made_one_by_one(self) -> bool:
        """Whether the predictions carry their own time, cost and error, as those of an LLM do."""
        return any(
            not isinstance(part, np.ndarray) and isinstance(one, Generation)
            for part in self._predicted
            for one in part
        )

    def judged(
        self,
        metrics: Iterable[str],
        per_row: "pd.DataFrame | None",
        classes: Sequence[Any] = (),
        latency_s: Sequence[float] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> JudgedRows:
        """The collected rows, with the scores of each row where the task has some.

        Args:
            metrics: Names of the metrics.
            per_row: The task's table of the rows, in which a metric of single rows has a column.
            classes: The classes of a classifier, in the order of its probabilities.
            latency_s: Of a sample of rows; not needed for answers that carry their own.
            facts: As of `Task.facts_of`.
        """
        stored = dict(facts or {})
        ids = [f"{digest:016x}" for digest in chain.from_iterable(self._ids)]
        names = [] if per_row is None else [name for name in metrics if name in per_row]
        for name in names:
            if (counted := f"{name}{COUNTED}") in per_row:  # type: ignore[operator]
                stored[counted] = per_row[counted].tolist()  # type: ignore[index]
        return JudgedRows(
            task=self.config.evaluation.task,
            ids=ids,
            entities=stored.pop("entity", None) or list(chain.from_iterable(self._entities)) or ids,
            truth=self.truth,
            classes=list(classes),
            weights=None if self.weights is None else self.weights.astype(np.float64),
            slices={name: list(chain.from_iterable(parts)) for name, parts in self._values.items()},
            values={name: [_number(value) for value in per_row[name]] for name in names},  # type: ignore[index]
            facts=stored,
            # The platform's tasks do not need them again: scores of text are stored row by row.
            references=() if self.config.evaluation.task in plugins.TABLE["task"] else self.references,
            **(
                _made(self.predicted)
                if self.made_one_by_one
                else {"predicted": self.predicted, "latency_s": tuple(latency_s)}
            ),
        )


def truth_of(rows: "pd.DataFrame", schema: Schema) -> np.ndarray:
    """The label of each row, [rows]; several labels are float64 [rows, labels]."""
    if len(schema.labels) > 1:
        return rows[list(schema.labels)].to_numpy(dtype=np.float64, na_value=np.nan)
    return rows[schema.label].to_numpy()


def output_of(predicted: Any, name: str) -> np.ndarray:
    """One output of each prediction, [rows, ...].

    Raises:
        EvaluationError: The model has no such output, or its size differs between rows.
    """
    first = predicted[0] if isinstance(predicted, list) and predicted else None
    if not isinstance(first, dict) or name not in first:
        given = ", ".join(first) if isinstance(first, dict) else "one without a name"
        raise EvaluationError(f"evaluation.output is {name!r}, and the outputs of the model are: {given}.")
    try:
        return np.array([row[name] for row in predicted])
    except ValueError:
        raise EvaluationError(
            f"The output {name!r} has another number of items in each row. Set evaluation.output to one of a fixed shape."
        ) from None


def names_of_columns(schema: Schema) -> Sequence[Any]:
    """Names of the columns of a prediction: a classifier's classes, or several labels; empty for one number."""
    return schema.classes or (schema.labels if len(schema.labels) > 1 else ())


def _slice_of(name: str, schema: Schema) -> "Callable[[pd.DataFrame], list[str]]":
    """A function from rows to the value of each in a slice, as text.

    Args:
        name: A column of the prepared data, or ``package.module:function`` of a row ``{column: value}``.
        schema: Of the prepared data.

    Raises:
        PluginError: There is no such function.
    """
    if name in schema.used:
        return lambda rows: as_texts(rows[name])
    function, position = plugins.load("slice", name), count()

    def of_rows(rows: "pd.DataFrame") -> list[str]:
        found = []
        for row in rows.to_dict("records"):
            at = next(position)
            try:
                found.append(as_text(function(row)))
            except Exception as error:  # a function of the user's own may raise anything
                raise EvaluationError(
                    f"Slice {name} failed on row {at} of the split (counted from 0): {type(error).__name__}: {error}"
                ) from error
        return found

    return of_rows


def row_digests(rows: "pd.DataFrame") -> np.ndarray:
    """A 64-bit digest of each row, over the values of all its columns (uint64 [rows])."""
    import pandas as pd

    # pandas hashes an array as it prints it, which leaves the middle out.
    plain = {
        name: column.map(_plain)
        if column.dtype == object and pd.api.types.infer_dtype(column) not in ("string", "empty")
        else column
        for name, column in rows.items()
    }
    return pd.util.hash_pandas_object(pd.DataFrame(plain), index=False).to_numpy()


def latency(answers: Callable[[Any], Any], features: "pd.DataFrame") -> list[float]:
    """Seconds that a model takes for each of some single rows, after a first one for warming up."""
    found = []
    for position in range(min(len(features), LATENCY_ROWS + 1)):
        began = time.perf_counter()
        answers(features.iloc[position : position + 1])
        found.append(time.perf_counter() - began)
    return found[1:] or found


def as_texts(column: "pd.Series") -> list[str]:
    """The values of a column as text."""
    return [as_text(value) for value in column.tolist()]


def as_text(value: Any) -> str:
    """A value of a slice or key as text; a missing one has a name too. The text of that name is in quotes."""
    text = str(value)
    is_nan = isinstance(value, float) and math.isnan(value)
    if value is None or is_nan or (text in ("NaT", "<NA>") and not isinstance(value, str)):
        return MISSING
    return f"'{text}'" if text.strip("'") == MISSING else text


def joined(parts: list[Any]) -> Any:
    """One array (or list) from the arrays (or lists) of all parts of a split."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [answer for part in parts for answer in part]


def _made(predicted: Sequence[Generation]) -> Mapping[str, Any]:
    """The fields of `JudgedRows` that generated answers carry."""
    return {
        "predicted": [None if one.error else text_of(one.output) for one in predicted],
        "errors": [one.error for one in predicted],
        "latency_s": [one.latency_s for one in predicted],
        # Calls of a model without a price are not free.
        "cost_usd": [math.nan if one.usage.unpriced else one.usage.cost_usd for one in predicted],
    }


def _plain(value: Any) -> Any:
    """A value with a hash, equal for equal values."""
    if isinstance(value, np.ndarray):
        return repr((value.shape, value.tolist()))
    is_hashed_well = value is None or isinstance(value, str | bytes | float)
    return value if is_hashed_well else repr(value)


def _number(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)

"""The base of tasks whose predictions are arrays and whose metrics are functions of all rows at once."""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.metrics.interface import Metric, UndefinedError, chosen
from mlops_lib.evaluation.report import Score
from mlops_lib.evaluation.tasks.interface import Task

if TYPE_CHECKING:
    from mlops_lib.settings import Settings


class ArrayTask(Task):
    """Reads truth and predictions once, then asks each metric. See `chosen` for which metrics."""

    def __init__(
        self, settings: "Settings | None" = None, *, classes: Sequence[Any] = (), weights: Any = None
    ) -> None:
        super().__init__(settings, classes=classes, weights=weights)
        self._metrics = {name: make(name) for name in chosen(self.name, settings)}
        self.metrics: Mapping[str, bool] = {n: m.higher_is_better for n, m in self._metrics.items()}

    @abstractmethod
    def read(self, y_true: Any, y_pred: Any) -> Any:
        """The checked rows that this task's metrics and figures take.

        Raises:
            EvaluationError: Truth and predictions do not fit together, or hold values that cannot be scored.
        """

    def score(self, y_true: Any, y_pred: Any) -> dict[str, Score]:
        cases, rows = self.read(y_true, y_pred), len(y_true)
        return {name: _score(name, one, cases, rows) for name, one in self._metrics.items()}


def make(name: str) -> Metric:
    """The metric of a name in the plugin table, or a function of the user's own by its dotted path."""
    found = plugins.load("metric", name)
    if isinstance(found, Metric):
        return found
    if isinstance(found, type) or not callable(found):
        raise EvaluationError(f"Metric {name!r} is not a function of checked rows, which this task needs.")
    return Metric(found, bool(getattr(found, "higher_is_better", True)))


def _score(name: str, one: Metric, cases: Any, rows: int) -> Score:
    try:
        value, why = one(cases), ""
    except UndefinedError as error:
        value, why = None, str(error)
    except Exception as error:  # a function of the user's own may raise anything
        raise EvaluationError(f"Metric {name!r} failed: {type(error).__name__}: {error}") from error
    if value is None or not math.isfinite(value):
        why = why or f"the metric gave {value} for {rows} rows"
        return Score(value=None, scored=0, errored=rows, reason=why)
    return Score(value=float(value), scored=rows)

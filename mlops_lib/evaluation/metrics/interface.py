"""The two forms of a metric: one number over all rows (`Metric`), or one for each answer (`TextMetric`)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_lib import plugins
from mlops_lib.evaluation.metrics.json_values import text_of
from mlops_lib.llm.conversation import Conversation
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.traces.trajectory import Trajectory
from mlops_lib.settings.evaluation import OF_QUANTILES

if TYPE_CHECKING:
    import pandas as pd

    from mlops_lib.settings import Settings


class UndefinedError(Exception):
    """A metric has no value on some rows; the message says why."""


@dataclass(frozen=True)
class Metric:
    """A metric of classification or regression.

    Attributes:
        function: Checked rows (`ClassificationCases` or `RegressionCases`) -> the value. Raises
            `UndefinedError`, or returns None, where the metric is not defined on them. Uses
            ``cases.weights`` where they are not None.
        higher_is_better: Which way is better.
        lowest, highest: Bounds of the value. config.yaml may not ask for a threshold beyond them.
    """

    function: Callable[[Any], float | None]
    higher_is_better: bool = True
    lowest: float = -math.inf
    highest: float = math.inf

    def __call__(self, cases: Any) -> float | None:
        return self.function(cases)


def metric(
    *, higher_is_better: bool = True, lowest: float = -math.inf, highest: float = math.inf
) -> Callable[[Callable[[Any], float | None]], Metric]:
    """Make a `Metric` of a function of checked rows."""
    return lambda function: Metric(function, higher_is_better, lowest, highest)


@dataclass(frozen=True)
class Case:
    """One answer to judge: the question, the answer and the reference answer.

    Attributes:
        generation: The answer, with its costs and its trajectory.
        columns: The columns of ``data.reference_columns``; those that hold JSON as values.
    """

    generation: Generation
    reference: str
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> Mapping[str, Any]:
        """The row's features."""
        return self.generation.input

    @property
    def trajectory(self) -> Trajectory:
        """What the model did: `events`, `path`, `messages`, `tool_calls` and `steps`."""
        return self.generation.trajectory

    @property
    def conversation(self) -> Conversation | None:
        """What user and model said, where the row has several turns, and why it ended: `messages`,
        `end` and `turns`."""
        return self.generation.conversation

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """Name and arguments of each tool call, in order."""
        return self.trajectory.tool_calls

    @property
    def answer(self) -> str:
        """The model's answer as text; an object or list as JSON. Of several turns, the last answer."""
        return text_of(self.generation.output)

    @property
    def question(self) -> str:
        """The row's input as text: the value of its first column. Of several turns,
        the user's first message."""
        return str(next(iter(self.generation.input.values()), ""))

    @property
    def contexts(self) -> list[str]:
        """Passages that the answer was made from."""
        return list(self.generation.contexts)


class TextMetric:
    """A metric of text. `row` scores one answer; `total` makes one number of all rows.

    Attributes:
        higher_is_better: Which way is better.
        lowest, highest: Bounds of the total. config.yaml may not ask for a threshold beyond them.
        worst: Score of a row without an answer; None: such a row has no score.
        note: Printed beside the number so that it can be compared: a signature, the judge's name.
        columns: Columns of the reference that it needs beside the label.
        asks: Settings of section ``evaluation`` that name LLMs which it calls.
        reads: Other settings that the score of a row rests on: of section ``evaluation``, or ``llm.prices``.
    """

    higher_is_better = True
    lowest: float = 0.0
    highest: float = 1.0
    worst: float | None = 0.0
    note = ""
    columns: ClassVar[tuple[str, ...]] = ()
    asks: ClassVar[tuple[str, ...]] = ()
    reads: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: "Settings | None" = None) -> None:
        self.settings = settings

    def check(self, cases: Sequence[Case]) -> None:
        """Check the references of all rows; called before a row is scored.

        Raises:
            EvaluationError: A reference cannot be used; names row, column and value.
        """

    def counts(self, case: Case) -> bool:
        """Whether the row counts in the total.

        It depends on the reference alone, so that all models are judged on the same rows.
        """
        return True

    async def row(self, case: Case) -> float:
        """The score of one answer."""
        raise NotImplementedError

    def facts(self, cases: Sequence[Case]) -> dict[str, list[Any]]:
        """Further columns of the table of rows, such as a judge's reasons;
        called after the rows are scored."""
        return {}

    def tables(self, cases: Sequence[Case], values: Sequence[float | None]) -> "dict[str, pd.DataFrame]":
        """Title -> table for the report; called after the rows are scored."""
        return {}

    def warning(self, cases: Sequence[Case]) -> str:
        """Why the metric says little about these rows; "" if nothing speaks against it."""
        return ""

    def total(self, cases: Sequence[Case], values: Sequence[float | None]) -> float:
        """The mean over all rows; a row without a value counts as the worst."""
        worst = self.worst_of([v for v in values if v is not None])
        return float(sum(worst if v is None else v for v in values) / len(values))  # type: ignore[misc]

    def worst_of(self, values: Sequence[float]) -> float | None:
        """Score of a row without an answer, when the others have these; None: such a row has no score."""
        return self.worst


def chosen(task: str, settings: "Settings | None", default: Sequence[str] = ()) -> list[str]:
    """Names of the metrics to compute: those of ``evaluation.metrics``, else the default;
    always the gate's metrics.

    Args:
        task: Name of the task.
        settings: None takes the default.
        default: Names; empty: all metrics that the plugin table has for the task,
            without those of quantiles where predictions have none.
    """
    names = list(default) or plugins.names("metric", task)
    if settings is None or not settings.evaluation.quantiles:
        names = [name for name in names if name not in OF_QUANTILES]
    if settings is None:
        return names
    asked, gate = settings.evaluation, settings.evaluation.gate
    of_gate = [asked.metric, *gate.thresholds, *gate.slice_thresholds, *gate.margins]
    return list(dict.fromkeys([*(asked.metrics or names), *of_gate]))

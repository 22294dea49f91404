"""Score answers row by row with a text metric, and add the rows up."""

import asyncio
import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError, MlopsError
from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.metrics.rubric import RubricMetric
from mlops_lib.evaluation.report import Score
from mlops_lib.llm.accounting.turns import one_row

if TYPE_CHECKING:
    from mlops_lib.settings import Settings


class OwnMetric(TextMetric):
    """A user's function ``score(case) -> float``, plain or async.

    The function may have the attributes ``higher_is_better`` (default True) and ``worst`` (default 0.0,
    or none if lower is better), and ``columns``: the columns of the reference that it needs.
    """

    def __init__(self, function: Callable[[Case], Any], name: str) -> None:
        self._function = function
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        self.worst = getattr(function, "worst", 0.0 if self.higher_is_better else None)
        self.note = name

    async def row(self, case: Case) -> float:
        if inspect.iscoroutinefunction(self._function):
            return float(await self._function(case))
        return float(await asyncio.to_thread(self._function, case))


def make(name: str, settings: "Settings | None") -> TextMetric:
    """The metric of a name, of a rubric, or of a dotted path ``package.module:function``.

    Raises:
        PluginError: The name is unknown, or a package that it imports is not installed.
        EvaluationError: The metric cannot be set up with these settings.
    """
    if settings and name in settings.evaluation.rubrics:
        return RubricMetric(settings, name)
    found = plugins.load("metric", name)
    try:
        if inspect.isclass(found) and issubclass(found, TextMetric):
            return found(settings)
    except ImportError as error:
        extra = plugins.TABLE["metric"].get(name, plugins.Plugin("")).extra or "llm"
        raise EvaluationError(
            f"Metric {name!r}: {error}. Install it with: pip install 'mlops-lib[{extra}]'"
        ) from error
    if not callable(found):
        raise EvaluationError(f"Metric {name!r} is a {type(found).__name__}, not a function of a case.")
    return OwnMetric(found, name)


def needed_columns(name: str, settings: "Settings") -> tuple[str, ...]:
    """The columns that a metric needs beside the label.

    Raises:
        PluginError: There is no such metric.
    """
    if rubric := settings.evaluation.rubrics.get(name):
        return RubricMetric.needed(rubric)
    return tuple(getattr(plugins.load("metric", name), "columns", ()))


def models(name: str, settings: "Settings") -> tuple[str, ...]:
    """The LLMs that a metric calls, as ``provider:model``."""
    chosen = settings.evaluation
    if rubric := chosen.rubrics.get(name):
        return (rubric.judge or chosen.judge,)
    return tuple(getattr(chosen, setting) for setting in getattr(plugins.load("metric", name), "asks", ()))


def settings_behind(name: str, settings: "Settings") -> tuple[str, ...] | None:
    """The settings that the score of a row rests on: of section ``evaluation`` (``rubrics.NAME`` of a rubric),
    or ``llm.prices``. None: it may be any, since the metric is a class of the user's own."""
    if rubric := settings.evaluation.rubrics.get(name):
        of_evaluation = {
            "judge": not rubric.judge,
            "judge_temperature": rubric.temperature is None,
            "judge_max_tokens": not rubric.max_tokens,
        }
        return f"rubrics.{name}", *(setting for setting, is_read in of_evaluation.items() if is_read)
    found = plugins.load("metric", name)
    if name not in plugins.TABLE["metric"]:
        return None if inspect.isclass(found) else ()
    of_judge = ("judge_temperature", "judge_max_tokens") if "judge" in found.asks else ()
    return *found.reads, *found.asks, *of_judge


async def score_rows(
    metric: TextMetric, cases: Sequence[Case], concurrency: int, name: str
) -> list[tuple[float | None, str]]:
    """The (score, "") of each row, or (None, reason) for a row without a score."""
    limit = asyncio.Semaphore(concurrency)

    async def one(case: Case) -> tuple[float | None, str]:
        if not metric.counts(case):
            return None, ""
        if case.generation.error:
            return None, case.generation.error
        if not case.answer.strip():
            return None, ""
        async with limit:
            try:
                with one_row():
                    value = float(await metric.row(case))
            except Exception as error:  # a judge or the user's own metric may raise anything
                return None, str(error) if isinstance(
                    error, MlopsError
                ) else f"{type(error).__name__}: {error}"
        if not math.isfinite(value):
            return None, f"{name} gave {value}, which is no score"
        return value, ""

    return list(await asyncio.gather(*map(one, cases)))


def require_a_score(name: str, cases: Sequence[Case], results: Sequence[tuple[float | None, str]]) -> None:
    """Raise EvaluationError, with the first cause, if rows failed and none has a score:
    nothing was measured."""
    failed = [row for row, (_, problem) in enumerate(results) if problem]
    if not failed or any(value is not None for value, _ in results):
        return
    of_metric = [row for row in failed if not cases[row].generation.error]
    cause = results[of_metric[0] if of_metric else failed[0]][1]
    cause = re.sub(r"^(\w+(?:Error|Exception)): ", r"\1 ", cause)
    where = f" in {name}" if of_metric else ""
    raise EvaluationError(f"{len(failed)} of {len(results)} rows failed: {cause}{where}")


def total(name: str, metric: TextMetric, cases: Sequence[Case], values: Sequence[float | None]) -> Score:
    """The metric over the rows that count in it, and how many do."""
    pairs = [pair for pair in zip(cases, values, strict=True) if metric.counts(pair[0])]
    left_out = len(cases) - len(pairs)
    cases, values = [case for case, _ in pairs], [value for _, value in pairs]
    known = [value for value in values if value is not None]
    empty = sum(not case.generation.error and not case.answer.strip() for case in cases)
    counts = {"scored": len(known), "errored": len(values) - len(known) - empty, "empty": empty}
    counts["left_out"] = left_out
    if not known:
        return Score(value=None, **counts)
    if len(known) < len(values) and metric.worst_of(known) is None:
        raise EvaluationError(
            f"Metric {name} has no value for {len(values) - len(known)} rows, and lower is better. Set the "
            "attribute `worst` of the function to the score of such a row."
        )
    return Score(value=metric.total(cases, values), **counts)

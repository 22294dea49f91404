"""A model's checked rows, and its metrics on resamples of them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.cases import ClassificationCases, RegressionCases
from mlops_lib.evaluation.forecast_cases import ForecastCases
from mlops_lib.evaluation.judged import COUNTED, JudgedRows
from mlops_lib.evaluation.label_cases import LabelCases
from mlops_lib.evaluation.metrics import classification as metrics_of_classes
from mlops_lib.evaluation.metrics import forecast as metrics_of_series
from mlops_lib.evaluation.metrics import multilabel, multioutput
from mlops_lib.evaluation.metrics import ranking as metrics_of_groups
from mlops_lib.evaluation.metrics import regression as metrics_of_numbers
from mlops_lib.evaluation.metrics.answers import make as make_text_metric
from mlops_lib.evaluation.metrics.interface import Case, Metric, TextMetric, UndefinedError
from mlops_lib.evaluation.metrics.json_values import text_of
from mlops_lib.evaluation.metrics.loss import mean_loss
from mlops_lib.evaluation.metrics.text import SacrebleuMetric
from mlops_lib.evaluation.paired import classification, forecast, labels, ranking, regression, text
from mlops_lib.evaluation.paired.rows import complete
from mlops_lib.evaluation.paired.sums import Statistic, mean
from mlops_lib.evaluation.ranking_cases import RankingCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask, make
from mlops_lib.llm.generation import Generation

if TYPE_CHECKING:
    from mlops_lib.settings import Settings

#: Metric -> its vectorised form.
VECTORISED: Mapping[Metric, Callable[[Any], Statistic | None]] = {
    metrics_of_classes.roc_auc: classification.roc_auc,
    metrics_of_classes.average_precision: classification.average_precision,
    metrics_of_classes.accuracy: classification.accuracy,
    metrics_of_classes.balanced_accuracy: classification.balanced_accuracy,
    metrics_of_classes.f1: classification.f1,
    metrics_of_classes.log_loss: classification.log_loss,
    metrics_of_classes.brier: classification.brier,
    metrics_of_numbers.r2: regression.r2,
    metrics_of_numbers.rmse: regression.rmse,
    metrics_of_numbers.mae: regression.mae,
    metrics_of_numbers.median_absolute_error: regression.median_absolute_error,
    multilabel.mean_roc_auc: labels.mean_roc_auc,
    multilabel.mean_average_precision: labels.mean_average_precision,
    multilabel.micro_f1: labels.micro_f1,
    multilabel.macro_f1: labels.macro_f1,
    multilabel.subset_accuracy: labels.subset_accuracy,
    multilabel.hamming_loss: labels.hamming_loss,
    multilabel.mean_log_loss: labels.mean_log_loss,
    multioutput.mean_r2: labels.mean_r2,
    multioutput.scaled_rmse: labels.scaled_rmse,
    metrics_of_series.mase: forecast.mase,
    metrics_of_series.wape: forecast.wape,
    metrics_of_series.smape: forecast.smape,
    metrics_of_series.pinball: forecast.pinball,
    metrics_of_series.coverage_error: forecast.coverage_error,
    metrics_of_groups.ndcg_at_k: ranking.of_groups(metrics_of_groups.ndcg_by_group),
    metrics_of_groups.map_at_k: ranking.of_groups(metrics_of_groups.map_by_group),
    metrics_of_groups.mrr: ranking.of_groups(metrics_of_groups.mrr_by_group),
    metrics_of_groups.precision_at_k: ranking.of_groups(metrics_of_groups.precision_by_group),
    metrics_of_groups.recall_at_k: ranking.of_groups(metrics_of_groups.recall_by_group),
    mean_loss: lambda cases: mean(cases.predicted, cases.weights),
}


class Model:
    """One model's rows, read once.

    Args:
        rows: Truth and predictions.
        other: The other model's, for the worst prediction of a row without one.
        settings: Of the metrics; None: defaults.

    Raises:
        EvaluationError: The rows cannot be scored.
    """

    def __init__(self, rows: JudgedRows, other: JudgedRows, settings: "Settings | None" = None) -> None:
        self._rows, self._settings = rows, settings
        self._metrics: dict[str, Any] = {}
        self._task = plugins.load("task", rows.task)
        predicted, self.failed = complete(rows, other)
        self._predicted = predicted
        self.cases: Any = None
        if issubclass(self._task, ArrayTask):
            task = self._task(settings, classes=rows.classes, weights=rows.weights, **self._references())
            task.facts = {"key": rows.entities, **rows.facts}
            self.cases = task.read(rows.truth, predicted)
        elif rows.task == "text":
            if rows.weights is not None:
                raise EvaluationError("The text task counts all rows the same. Remove data.weight.")
            self.cases = [_case(*pair) for pair in zip(rows.truth, predicted, strict=True)]

    def metric(self, name: str) -> Any:
        """The metric with `higher_is_better`, `lowest` and `highest`.

        Raises:
            PluginError: No such metric.
            EvaluationError: The task has no such metric.
        """
        if name not in self._metrics:
            self._metrics[name] = self._made(name)
        return self._metrics[name]

    def _made(self, name: str) -> Any:
        if self._rows.task == "text":
            return _text_metric(name, self._settings)
        if issubclass(self._task, ArrayTask):
            return make(name)
        higher = self._task(self._settings).metrics
        if name not in higher:
            raise EvaluationError(
                f"Task {self._rows.task!r} has no metric {name!r}. It has: {', '.join(higher)}."
            )
        return Metric(lambda _: None, higher[name])

    def statistic(self, name: str, rows: np.ndarray) -> Statistic:
        """The metric on resamples of the rows at these positions, int [M]: counts [b, M] -> values [b]."""
        if self._rows.task == "text":
            return self._of_text(name, rows)
        if not (
            hasattr(self.cases, "take") and hasattr(self.cases, "weights")
        ):  # of a task of the user's own
            return _loop(name, lambda places: self._scored(name, rows[places]))
        metric, cases = self.metric(name), self.cases.take(rows)
        build = VECTORISED.get(metric)
        return (build(cases) if build else None) or _loop(
            name, lambda places: _value(metric, cases.take(places))
        )

    def undefined(self, name: str, rows: np.ndarray) -> str:
        """Why the metric has no value on the rows at these positions; "" if it has one."""
        try:
            value = _value(self.metric(name), self.cases.take(rows))
        except UndefinedError as error:
            return str(error)
        except Exception:  # text, or a task or metric of the user's own: it says no more
            value = None
        return "" if value is not None and np.isfinite(value) else "it cannot be computed from them"

    def counted(self, name: str) -> np.ndarray:
        """The rows that have weight and count in a metric, bool [N]."""
        if isinstance(self.cases, RankingCases) and self.metric(name) in VECTORISED:
            return self.cases.ranked[self.cases.groups]
        weights, counts = self._rows.weights, self._rows.facts.get(f"{name}{COUNTED}")
        found = np.ones(len(self._rows.ids), bool) if weights is None else np.asarray(weights) > 0
        return found if counts is None else found & np.array(counts, bool)

    def changed(self, other: "Model", name: str) -> np.ndarray:
        """The rows on which the metric can tell the two models apart, bool [N]."""
        if isinstance(self.cases, ClassificationCases):
            if name in ("accuracy", "balanced_accuracy", "f1"):
                return self.cases.predicted != other.cases.predicted
            return np.any(self.cases.probabilities != other.cases.probabilities, axis=1)
        if isinstance(self.cases, RegressionCases):
            return self.cases.predicted != other.cases.predicted
        if isinstance(self.cases, LabelCases):
            return np.any(self.cases.predicted != other.cases.predicted, axis=1)
        if hasattr(self.cases, "changed"):
            return self.cases.changed(other.cases, name)
        ours, theirs = self._predicted, other._predicted
        if self._rows.task == "text":
            if isinstance(self.metric(name), SacrebleuMetric):
                ours, theirs = [c.answer for c in self.cases], [c.answer for c in other.cases]
            else:
                ours, theirs = self._values(name), other._values(name)
        return np.array([not np.array_equal(*pair) for pair in zip(ours, theirs, strict=True)])

    def widening(self, other: "Model", rows: np.ndarray, entities: np.ndarray) -> float:
        """How many times wider the bootstrap's interval must be, where entities depend on each other."""
        if not isinstance(self.cases, ForecastCases):
            return 1.0
        return forecast.widening(self.cases, other.cases, rows, entities)

    def mcnemar_p(self, other: "Model", rows: np.ndarray) -> float | None:
        """p of McNemar's exact test of the two models' hits on those of these rows that have weight;
        None unless this is classification."""
        if not isinstance(self.cases, ClassificationCases):
            return None
        from scipy.stats import binomtest

        if self.cases.weights is not None:
            rows = rows[self.cases.weights[rows] > 0]
        ours, theirs = ((m.cases.predicted == m.cases.codes)[rows] for m in (self, other))
        won, lost = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
        return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0

    def _scored(self, name: str, rows: np.ndarray) -> float | None:
        """The metric of a task of the user's own on the rows at these positions."""
        given = self._rows
        weights = None if given.weights is None else np.asarray(given.weights)[rows]
        if weights is not None and not weights.any():
            return None
        references = self._references(rows)
        task = self._task(self._settings, classes=given.classes, weights=weights, **references)
        facts = {"key": given.entities, **given.facts}
        task.facts = {name: [values[i] for i in rows] for name, values in facts.items()}
        return task.score([given.truth[i] for i in rows], [self._predicted[i] for i in rows])[name].value

    def _references(self, rows: np.ndarray | None = None) -> dict[str, Any]:
        """The argument with the references of all rows or some; none without, since not every task knows it."""
        if not (given := self._rows.references):
            return {}
        return {"references": list(given) if rows is None else [given[i] for i in rows]}

    def _of_text(self, name: str, rows: np.ndarray) -> Statistic:
        values, metric = self._values(name), self.metric(name)
        cases, counted = [self.cases[i] for i in rows], self.counted(name)[rows]
        statistic = text.statistic(metric, cases, [values[i] for i in rows], _worst(metric) or 0.0)
        return lambda counts: statistic(counts * counted)

    def _values(self, name: str) -> list[float | None]:
        if name not in self._rows.values:
            raise EvaluationError(f"The rows have no values of metric {name!r}.")
        values = [None if bad else v for v, bad in zip(self._rows.values[name], self.failed, strict=True)]
        missing = sum(
            v is None for v, is_counted in zip(values, self.counted(name), strict=True) if is_counted
        )
        if missing and _worst(self.metric(name)) is None:
            raise EvaluationError(
                f"Metric {name} has no value for {missing} rows, and lower is better. Set the attribute "
                "`worst` of the function to the score of such a row."
            )
        return values


def _value(metric: Metric, cases: Any) -> float | None:
    """The metric; None for rows without any weight, on which scikit-learn raises an error."""
    return metric(cases) if cases.weights is None or cases.weights.any() else None


def _loop(name: str, metric: Callable[[np.ndarray], float | None]) -> Statistic:
    """A metric of any kind, on each resample in turn."""

    def value(counts: np.ndarray) -> float:
        places = np.repeat(np.arange(len(counts)), counts.astype(int))
        try:
            found = metric(places) if len(places) else None
        except UndefinedError:
            return np.nan
        except Exception as error:  # a function of the user's own may raise anything
            raise EvaluationError(f"Metric {name!r} failed: {type(error).__name__}: {error}") from error
        return np.nan if found is None else float(found)

    return lambda counts: np.array([value(row) for row in counts])


def _text_metric(name: str, settings: "Settings | None") -> Any:
    """The metric; its class alone where that is enough, since a judge's metric needs the judge to be set up."""
    if settings and name in settings.evaluation.rubrics:
        return make_text_metric(name, settings)
    found = plugins.load("metric", name)
    of_platform = name in plugins.TABLE["metric"] and isinstance(found, type)
    if of_platform and found.total is TextMetric.total:
        return found
    return make_text_metric(name, settings)


def _worst(metric: Any) -> float | None:
    if metric.worst is not None:
        return metric.worst
    bound = metric.lowest if metric.higher_is_better else metric.highest
    return bound if np.isfinite(bound) else None


def _case(reference: Any, answer: Any) -> Case:
    reference = text_of(reference)
    if isinstance(answer, Generation):
        return Case(answer, reference)
    return Case(Generation({}, "" if answer is None else answer), reference)

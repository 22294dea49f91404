"""Metrics of text on many resamples at once: means of row values, and corpus scores from sacrebleu's sums."""

from collections.abc import Sequence

import numpy as np

from mlops_lib.evaluation.metrics.interface import Case, TextMetric
from mlops_lib.evaluation.metrics.text import SacrebleuMetric
from mlops_lib.evaluation.paired.sums import Statistic, mean


def statistic(
    metric: TextMetric | type[TextMetric],
    cases: Sequence[Case],
    values: Sequence[float | None],
    worst: float | None,
) -> Statistic:
    """The metric's total on resamples of N answers.

    Args:
        metric: The metric; its class is enough if its total is the mean.
        cases: The answers.
        values: Score of each answer; None: it has none.
        worst: Score of an answer without a value.
    """
    if isinstance(metric, SacrebleuMetric):
        return _corpus(metric, cases, values)
    if isinstance(metric, type) or type(metric).total is TextMetric.total:
        return mean(np.array([worst if v is None else v for v in values], dtype=float), None)

    def repeated(counts: np.ndarray) -> np.ndarray:
        return np.array([_total(metric, cases, values, row) for row in counts])

    return repeated


def _total(
    metric: TextMetric, cases: Sequence[Case], values: Sequence[float | None], counts: np.ndarray
) -> float:
    rows = np.repeat(np.arange(len(cases)), counts.astype(int)).tolist()
    return metric.total([cases[i] for i in rows], [values[i] for i in rows]) if len(rows) else np.nan


def _corpus(metric: SacrebleuMetric, cases: Sequence[Case], values: Sequence[float | None]) -> Statistic:
    answers = metric.answers(cases, values)
    # The functions that sacrebleu's own significance tests use; they are not public.
    sums = metric.corpus._extract_corpus_statistics(answers, [metric.references(cases)])
    each = np.array(sums, dtype=float)

    def corpus(counts: np.ndarray) -> np.ndarray:
        score = metric.corpus._compute_score_from_stats
        return np.array(
            [score(row.astype(int).tolist()).score if row.any() else np.nan for row in counts @ each]
        )

    return corpus

"""Metrics on resamples equal scikit-learn's and sacrebleu's on the repeated rows."""

import numpy as np
import pytest

from mlops_lib import plugins
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.metrics.interface import Case, UndefinedError
from mlops_lib.evaluation.paired.models import Model
from mlops_lib.llm.generation import Generation

RESAMPLES = 60


def judged(task, truth, predicted, classes=(), weights=None, values=None):
    ids = [str(i) for i in range(len(truth))]
    return JudgedRows(task, ids, ids, truth, predicted, classes, weights, values=values or {})


def counts(rng, rows):
    """Resamples of the rows, the first few so small that classes are missing."""
    found = rng.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES).astype(float)
    for place in range(20):
        found[place] = 0
        found[place, rng.integers(0, rows, 3)] = 1
    found[20] = 0
    return found


def of_repeated_rows(model, metric, resampled, weights):
    """The metric of the task on each resample, computed on explicitly repeated rows."""
    values = []
    for row in resampled:
        places = np.repeat(np.arange(len(row)), row.astype(int))
        try:
            empty = not len(places) or (weights is not None and not weights[places].any())
            values.append(np.nan if empty else metric(model.cases.take(places)))
        except UndefinedError:
            values.append(np.nan)
    return np.array(values, dtype=float)


def equal_on_resamples(given, metric, rng, rtol=1e-12):
    """Check the statistic of the rows against the metric on repeated rows: some resamples have no value, most have one."""
    rows = len(given.ids)
    model, resampled = Model(given, given), counts(rng, rows)
    found = model.statistic(metric, np.arange(rows))(resampled)
    expected = of_repeated_rows(model, plugins.load("metric", metric), resampled, given.weights)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)
    assert np.isnan(expected).any() and np.isfinite(expected).sum() > 35


def weights_of(kind, rng, rows):
    if kind == "no weights":
        return None
    weights = rng.uniform(0.1, 3, rows)
    weights[: rows // 5] = 0
    return weights


@pytest.mark.parametrize("weighed", ["no weights", "weights"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("metric", plugins.names("metric", "classification"))
def test_classification_equals_scikit_learn(metric, size, ties, weighed):
    """Two classes and four, one of them rare; with ties, missing classes, weights and weights of 0."""
    rng = np.random.default_rng(7)
    rows = 90
    truth = np.minimum(rng.integers(0, size, rows), rng.integers(0, size, rows))
    scores = rng.dirichlet(np.ones(size), rows)
    if ties:
        scores = np.round(scores * 4) + 1
        scores /= scores.sum(axis=1, keepdims=True)
    weights = weights_of(weighed, rng, rows)
    given = judged("classification", truth, scores[:, 1] if size == 2 else scores, [*range(size)], weights)
    equal_on_resamples(given, metric, rng)


@pytest.mark.parametrize("weighed", ["no weights", "weights"])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("metric", plugins.names("metric", "regression"))
def test_regression_equals_scikit_learn(metric, offset, weighed):
    """Also where the values are large beside their spread, and where all values of a resample are equal."""
    rng = np.random.default_rng(8)
    rows = 60
    truth = np.round(rng.normal(0, 1.5, rows)) + offset
    weights = weights_of(weighed, rng, rows)
    given = judged("regression", truth, truth + rng.normal(0, 0.7, rows), weights=weights)
    equal_on_resamples(given, metric, rng, rtol=1e-11 if offset else 1e-12)


@pytest.mark.parametrize("weighed", ["no weights", "weights"])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("metric", plugins.names("metric", "multilabel"))
def test_labels_equal_scikit_learn(metric, ties, weighed):
    """Also where all or none of the resampled rows have a label, and with a label that no row has at all."""
    rng = np.random.default_rng(9)
    rows = 60
    truth = (rng.random((rows, 4)) < [0.5, 0.1, 0.9, 0.0]).astype(float)
    scores = np.clip(truth * 0.3 + rng.random((rows, 4)) * 0.7, 0, 1)
    scores = np.round(scores * 4) / 4 if ties else scores
    weights = weights_of(weighed, rng, rows)
    given = judged("multilabel", truth, scores, [*"abcd"], weights)
    equal_on_resamples(given, metric, rng)


@pytest.mark.parametrize("weighed", ["no weights", "weights"])
@pytest.mark.parametrize("metric", plugins.names("metric", "multioutput"))
def test_several_numbers_equal_scikit_learn(metric, weighed):
    """Labels of very different units, one of them far from zero."""
    rng = np.random.default_rng(10)
    rows = 60
    truth = rng.normal(0, 1, (rows, 3)).round(1) * [1, 1000, 5] + [0, 0, 1e4]
    predicted = truth + rng.normal(0, 0.5, (rows, 3)) * [1, 1000, 5]
    weights = weights_of(weighed, rng, rows)
    given = judged("multioutput", truth, predicted, [*"abc"], weights)
    equal_on_resamples(given, metric, rng, rtol=1e-9)


WORDS = ["the", "cat", "sat", "on", "a", "mat", "while", "one", "dog", "ran", "under", "that", "old", "tree"]


@pytest.mark.parametrize("metric", ["bleu", "chrf", "rouge_l", "exact_match"])
def test_text_equals_the_metrics_own_total(metric):
    """Corpus scores from sums, other metrics as a mean; two rows have no answer."""
    rng = np.random.default_rng(9)
    rows = 40
    references = [" ".join(rng.choice(WORDS, 8)) for _ in range(rows)]
    answers = [" ".join(w for w in text.split() if rng.random() < 0.8) for text in references]
    values = [float(v) for v in rng.uniform(0, 1, rows)]
    values[3] = values[30] = None
    given = judged("text", references, [*answers], values={metric: values})
    model = Model(given, given)
    resampled = np.vstack([counts(rng, rows)[21:], np.ones(rows)])
    found = model.statistic(metric, np.arange(rows))(resampled)
    own = plugins.load("metric", metric)()
    cases = [Case(Generation({}, a), r) for a, r in zip(answers, references, strict=True)]
    for row, value in zip(resampled, found, strict=True):
        places = np.repeat(np.arange(rows), row.astype(int))
        assert value == pytest.approx(
            own.total([cases[i] for i in places], [values[i] for i in places]), rel=1e-12
        )

"""The metrics of networks' tasks give the numbers of torchmetrics on random inputs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torchmetrics import classification, regression, retrieval

from mlops_lib import plugins
from mlops_lib.evaluation.metrics import forecast, ranking
from mlops_lib.evaluation.ranking_cases import RankingCases

ROWS, CLASSES = 400, 4
DRAW = np.random.default_rng(0)
PROBABILITIES = DRAW.dirichlet(np.ones(CLASSES), ROWS)
CODES = np.array([DRAW.choice(CLASSES, p=row) for row in PROBABILITIES])
BITS = DRAW.integers(0, 2, (ROWS, 3))
SHARES = np.clip(BITS * 0.3 + DRAW.random((ROWS, 3)) * 0.7, 0, 1)
NUMBERS = DRAW.normal(3, 2, (ROWS, 2))
GUESSES = NUMBERS + DRAW.normal(0, 1, (ROWS, 2))
GROUPS = np.arange(ROWS) // 8
RELEVANCE = DRAW.integers(0, 4, ROWS) * DRAW.integers(0, 2, ROWS)


def scores(task, truth, predicted, classes=()):
    """Our scores by name."""
    found = plugins.load("task", task)(None, classes=classes).score(truth, predicted)
    return {name: one.value for name, one in found.items()}


def expect(ours, theirs, predicted, truth):
    """Each of our scores equals that of torchmetrics' object."""
    given = torch.from_numpy(predicted), torch.from_numpy(truth)
    assert {name: ours[name] for name in theirs} == pytest.approx(
        {name: float(one(*given)) for name, one in theirs.items()}, rel=1e-5
    )


def test_two_classes():
    """Probabilities of the second class."""
    predicted, truth = SHARES[:, 0], BITS[:, 0]
    theirs = {
        "roc_auc": classification.BinaryAUROC(),
        "average_precision": classification.BinaryAveragePrecision(),
        "accuracy": classification.BinaryAccuracy(),
        "balanced_accuracy": classification.MulticlassAccuracy(2, average="macro"),
        "f1": classification.BinaryF1Score(),
    }
    balanced = theirs.pop("balanced_accuracy")
    ours = scores("classification", truth, predicted, (0, 1))
    expect(ours, theirs, predicted, truth)
    expect(ours, {"balanced_accuracy": balanced}, (predicted > 0.5).astype(int), truth)


def test_many_classes():
    """Means over the classes."""
    theirs = {
        "roc_auc": classification.MulticlassAUROC(CLASSES),
        "average_precision": classification.MulticlassAveragePrecision(CLASSES),
        "accuracy": classification.MulticlassAccuracy(CLASSES, average="micro"),
        "balanced_accuracy": classification.MulticlassAccuracy(CLASSES, average="macro"),
        "f1": classification.MulticlassF1Score(CLASSES, average="macro"),
    }
    ours = scores("classification", CODES, PROBABILITIES, tuple(range(CLASSES)))
    expect(ours, theirs, PROBABILITIES, CODES)


def test_several_yes_no_labels():
    """Means over the labels, and over all decisions."""
    theirs = {
        "mean_roc_auc": classification.MultilabelAUROC(3),
        "mean_average_precision": classification.MultilabelAveragePrecision(3),
        "micro_f1": classification.MultilabelF1Score(3, average="micro"),
        "macro_f1": classification.MultilabelF1Score(3, average="macro"),
        "subset_accuracy": classification.MultilabelExactMatch(3),
        "hamming_loss": classification.MultilabelHammingDistance(3),
    }
    expect(scores("multilabel", BITS, SHARES, ("a", "b", "c")), theirs, SHARES, BITS)


def test_numbers():
    """One number a row, and several labels."""
    theirs = {
        "r2": regression.R2Score(),
        "rmse": regression.MeanSquaredError(squared=False),
        "mae": regression.MeanAbsoluteError(),
    }
    truth, predicted = NUMBERS[:, 0].copy(), GUESSES[:, 0].copy()
    expect(scores("regression", truth, predicted), theirs, predicted, truth)
    ours = scores("multioutput", NUMBERS, GUESSES, ("a", "b"))
    expect(ours, {"mean_r2": regression.R2Score(multioutput="uniform_average")}, GUESSES, NUMBERS)


def test_forecasts():
    """Errors beside the size of the true values."""
    truth, predicted = NUMBERS[:, 0].copy(), GUESSES[:, 0].copy()
    cases = SimpleNamespace(truth=truth, predicted=predicted, weights=None)
    theirs = {
        "wape": regression.WeightedMeanAbsolutePercentageError(),
        "smape": regression.SymmetricMeanAbsolutePercentageError(),
    }
    expect({name: getattr(forecast, name)(cases) for name in theirs}, theirs, predicted, truth)


@pytest.mark.parametrize("k", [3, 8])
def test_rankings(k):
    """torchmetrics divides the average precision by the relevant rows among the first k, so it is compared where k is all."""
    predicted = 1 / (
        1 + np.exp(-RELEVANCE - DRAW.normal(0, 2, ROWS))
    )  # torchmetrics leaves out scores below 0
    cases = RankingCases.read(RELEVANCE, predicted, GROUPS.tolist(), k)
    skip = {"empty_target_action": "skip"}
    ours = {name: getattr(ranking, name)(cases) for name in plugins.names("metric", "ranking")}
    graded = {"ndcg_at_k": retrieval.RetrievalNormalizedDCG(top_k=k, **skip)}
    binary = {
        "mrr": retrieval.RetrievalMRR(**skip),
        "precision_at_k": retrieval.RetrievalPrecision(top_k=k, **skip),
        "recall_at_k": retrieval.RetrievalRecall(top_k=k, **skip),
    } | ({"map_at_k": retrieval.RetrievalMAP(**skip)} if k == 8 else {})
    index = torch.from_numpy(GROUPS)
    for theirs, truth in ((graded, RELEVANCE), (binary, (RELEVANCE > 0).astype(int))):
        given = torch.from_numpy(predicted), torch.from_numpy(truth)
        found = {name: float(one(*given, indexes=index)) for name, one in theirs.items()}
        assert {name: ours[name] for name in theirs} == pytest.approx(found, rel=1e-5)

"""Classification metrics against counting by hand, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.tasks.classification import Classification

TASK = Classification()
TRUE = [0, 0, 1, 1, 1]
PRED = [0.1, 0.6, 0.35, 0.8, 0.9]


def values(y_true, y_pred) -> dict[str, float]:
    return {name: score.value for name, score in TASK.score(y_true, y_pred).items()}


def auc_by_pairs(happened, score) -> float:
    """Share of (positive, negative) pairs in the right order, ties half: what ROC AUC means."""
    positive, negative = score[happened], score[~happened]
    wins = (positive[:, None] > negative).sum() + 0.5 * (positive[:, None] == negative).sum()
    return wins / (len(positive) * len(negative))


def precision_by_steps(happened, score) -> float:
    """Sum of precision times gained recall, threshold by threshold."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        flagged = score >= threshold
        recall = happened[flagged].sum() / happened.sum()
        total += happened[flagged].mean() * (recall - before)
        before = recall
    return total


def softmax_case(seed: int, rows: int = 60, classes: int = 4):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    return truth, rng.dirichlet(np.ones(classes), rows)


def test_five_rows_by_hand():
    """Every metric of a small case equals the arithmetic done on paper."""
    got = values(TRUE, PRED)
    assert got["roc_auc"] == pytest.approx(5 / 6)
    assert got["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert got["accuracy"] == pytest.approx(3 / 5)
    assert got["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert got["f1"] == pytest.approx(2 / 3)
    losses = [math.log(p) for p in (0.9, 0.4, 0.35, 0.8, 0.9)]
    assert got["log_loss"] == pytest.approx(-sum(losses) / 5)
    assert got["brier"] == pytest.approx((0.01 + 0.36 + 0.65**2 + 0.04 + 0.01) / 5)
    assert list(got) == list(TASK.metrics)


@pytest.mark.parametrize("seed", range(5))
def test_ranking_metrics_equal_counting_with_ties(seed):
    """Coarse scores make many ties, where shortcuts of ranking metrics go wrong."""
    rng = np.random.default_rng(seed)
    happened = np.concatenate([[True, False], rng.random(80) < 0.3])
    score = np.round(rng.random(82), 1)
    got = values(happened, score)
    assert got["roc_auc"] == pytest.approx(auc_by_pairs(happened, score))
    assert got["average_precision"] == pytest.approx(precision_by_steps(happened, score))


@pytest.mark.parametrize("seed", range(3))
def test_many_classes_equal_one_class_at_a_time(seed):
    """With four classes each metric is the mean over the classes of its two-class meaning."""
    truth, p = softmax_case(seed)
    got, guess, hot = values(truth, p), p.argmax(axis=1), np.eye(4)[truth]
    assert got["roc_auc"] == pytest.approx(np.mean([auc_by_pairs(truth == k, p[:, k]) for k in range(4)]))
    precision = [precision_by_steps(truth == k, p[:, k]) for k in range(4)]
    assert got["average_precision"] == pytest.approx(np.mean(precision))
    assert got["accuracy"] == pytest.approx((truth == guess).mean())
    recalls = [(guess[truth == k] == k).mean() for k in range(4)]
    assert got["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    hits = [((guess == k) & (truth == k)).sum() for k in range(4)]
    sizes = [(guess == k).sum() + (truth == k).sum() for k in range(4)]
    assert got["f1"] == pytest.approx(np.mean([2 * h / s for h, s in zip(hits, sizes, strict=True)]))
    assert got["log_loss"] == pytest.approx(-np.log(p[np.arange(60), truth]).mean())
    assert got["brier"] == pytest.approx(((p - hot) ** 2).sum(axis=1).mean())


@pytest.mark.parametrize("names", [[False, True], ["no", "yes"], [-1, 1], [1.0, 2.0]])
def test_labels_of_any_kind_score_the_same(names):
    """The class sorted last is the positive one, whatever it is called."""
    assert values([names[y] for y in TRUE], PRED) == values(TRUE, PRED)
    assert values(pd.Series([names[y] for y in TRUE], index=[9] * 5), pd.Series(PRED)) == values(TRUE, PRED)


def test_ranking_depends_on_order_alone():
    """Squaring probabilities leaves ROC AUC and average precision, and turning them round mirrors the AUC."""
    got, squared = values(TRUE, PRED), values(TRUE, np.square(PRED))
    assert squared["roc_auc"] == got["roc_auc"] and squared["average_precision"] == got["average_precision"]
    assert values(TRUE, 1 - np.array(PRED))["roc_auc"] == pytest.approx(1 - got["roc_auc"])


def test_equal_predictions_score_as_chance():
    """A constant ranks nothing: AUC one half, average precision the share of positives, no hit in f1."""
    got = values(TRUE, [0.5] * 5)
    assert got["roc_auc"] == 0.5 and got["average_precision"] == pytest.approx(3 / 5)
    assert got["f1"] == 0.0 and got["accuracy"] == pytest.approx(2 / 5)
    assert got["log_loss"] == pytest.approx(math.log(2)) and got["brier"] == pytest.approx(0.25)


def test_certain_predictions_stay_finite():
    """Probabilities of exactly 0 and 1 give scores, also where they are wrong."""
    right, wrong = values([0, 1], [0.0, 1.0]), values([0, 1], [1.0, 0.0])
    assert right["brier"] == 0.0 and right["log_loss"] == pytest.approx(0.0, abs=1e-12)
    assert wrong["brier"] == 1.0 and math.isfinite(wrong["log_loss"])


def test_half_precision_softmax_is_accepted():
    """Rows of a float16 softmax miss 1 slightly, and score as their float64 originals do."""
    truth, p = softmax_case(0)
    assert values(truth, p.astype(np.float16))["brier"] == pytest.approx(values(truth, p)["brier"], rel=1e-2)


@pytest.mark.parametrize(("y_true", "name"), [([1, 1], "1"), (["no"] * 2, "'no'"), ([True] * 2, "True")])
def test_one_class_says_which(y_true, name):
    """ROC AUC of one class does not exist, and the message names the class."""
    with pytest.raises(EvaluationError, match=f"at least two classes.*all 2 rows are of class {name}"):
        TASK.score(y_true, [0.2, 0.3])


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1], [0.5, np.nan], "row 1"),
        ([0, None], [0.5, 0.5], "no label in row 1"),
        ([0, 1, 1], [0.5, 0.5], "y_true has 3 rows and y_pred 2"),
        ([0, 1], [-1.3, 2.0], r"no probability in rows 0, 1 .*-1.3 to 2.*sigmoid"),
        ([0, 1], [[0.5, 0.5]] * 2, r"P\(1\), shape \(2,\)"),
        ([0, 1, 2], [0.5] * 3, r"3 classes 0, 1, 2.*shape \(3, 3\)"),
        ([0, 1, 3], [[0.25] * 4] * 3, "missing here cannot be scored"),
        ([0, 1, 2], [[0.5, 0.5, 0.5]] * 3, "do not sum to 1 in rows 0, 1, 2 .*1.5"),
        ([], [], "at least one row"),
    ],
)
def test_what_cannot_be_scored_says_why(y_true, y_pred, message):
    """Each way in which labels and predictions do not fit has its own message."""
    with pytest.raises(EvaluationError, match=message):
        TASK.score(y_true, y_pred)

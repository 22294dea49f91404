"""Classification metrics against counting by hand, and what is refused."""

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.paired import classification as paired
from mlops_lib.evaluation.tasks.classification import Classification
from mlops_lib.settings import Settings

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
    """Without a vocabulary the other class is unknown; the message names the class and a setting that helps."""
    with pytest.raises(EvaluationError, match=f"all 2 rows are of class {name}.*data.split: {{by: label}}"):
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
        (
            [0, 1, 3],
            [[0.25] * 4] * 3,
            r"y_true the 3 classes 0, 1, 3.*shape \(3, 3\).*name all with classes=",
        ),
        ([0, 1, 2], [[0.5, 0.5, 0.5]] * 3, "do not sum to 1 in rows 0, 1, 2 .*1.5"),
        ([], [], "at least one row"),
    ],
)
def test_what_cannot_be_scored_says_why(y_true, y_pred, message):
    """Each way in which labels and predictions do not fit has its own message."""
    with pytest.raises(EvaluationError, match=message):
        TASK.score(y_true, y_pred)


ABC = ["a", "b", "c"]


def test_a_class_that_the_train_split_lacks_is_an_error_that_names_it():
    """Class d once took the column of class c, and counted as right (accuracy 1.0)."""
    with pytest.raises(EvaluationError, match=r"no row of class 'd' in row 2 .*'a', 'b', 'c'.*unknown_class"):
        Classification(classes=ABC).score(["a", "b", "d"], np.eye(3))


@pytest.mark.parametrize("classes", [(0, 1), (False, True), ("0", "1"), ("no", "yes"), (-1, 7), (0, 1, 2)])
@pytest.mark.parametrize("label", [2, 5, 0.5, "2", "", "No", False, -2])
def test_any_label_outside_the_vocabulary_is_named(classes, label):
    """Whatever the types, an unknown label is an error with its row, and a known one is scored."""
    answers = [0.2, 0.7, 0.4] if len(classes) == 2 else np.full((3, 3), 1 / 3)
    task = Classification(classes=classes)
    if label in classes:
        assert task.score([classes[0], classes[1], label], answers)["accuracy"].value is not None
    else:
        with pytest.raises(EvaluationError, match=f"class {label!r} in row 2 "):
            task.score([*classes[:2], label], answers)


def test_many_unknown_classes_are_listed_with_their_rows():
    """Each class has its rows; beyond five classes they are counted."""
    with pytest.raises(EvaluationError, match=r"'x0' in rows 2, 9 .*'x4' in row 6 .*and 2 more classes"):
        truth = ["a", "b", *(f"x{i}" for i in range(7)), "x0"]
        Classification(classes=["a", "b"]).score(truth, np.full(10, 0.5))


def settings_of(unknown_class: str):
    return Settings.model_validate(
        {
            "root": Path("/"),
            "data": {"source": "a.csv", "label": "y"},
            "evaluation": {"threshold": 0.5, "unknown_class": unknown_class},
        }
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_unknown_classes_can_count_as_wrong_in_every_metric(classes):
    """Each row of an unknown class lowers every metric, and accuracy exactly by its share."""
    truth, p = softmax_case(1, rows=200, classes=classes)
    p = 0.4 * p + 0.6 * np.eye(classes)[truth]
    names = [f"class {k}" for k in range(classes)]
    labels = [names[k] for k in truth]
    answers = p[:, 1] if classes == 2 else p
    task = Classification(settings_of("wrong"), classes=names)
    all_known = task.score(labels, answers)
    some_new = task.score(["new" if i % 10 == 0 else label for i, label in enumerate(labels)], answers)
    for name, up in task.metrics.items():
        assert (some_new[name].value < all_known[name].value) is up, name
    right = p.argmax(axis=1) == truth
    assert some_new["accuracy"].value == pytest.approx(np.delete(right, np.arange(0, 200, 10)).sum() / 200)
    assert all(score.scored == 200 for score in some_new.values())


def test_the_report_counts_the_rows_of_unknown_classes():
    """Counted as wrong is not silent: the report says how many rows of how many classes."""
    notes = Classification(settings_of("wrong"), classes=ABC).details(
        ["a", "d", "e", "e"], np.eye(3)[[0, 1, 1, 2]]
    )
    assert notes["notes"]["unknown_class"].startswith("3 of 4 rows are of 2 classes")


def test_metrics_of_rows_of_one_class_have_a_value_or_a_reason():
    """With the vocabulary known, rows without a positive still have an accuracy; ranking has none, and says why."""
    task = Classification(classes=[0, 1])
    got = task.score([0] * 75, np.arange(75) / 100)
    assert got["accuracy"].value == pytest.approx(51 / 75)
    assert got["log_loss"].value > 0 and got["brier"].value > 0
    for name in ("roc_auc", "average_precision", "balanced_accuracy"):
        assert got[name].value is None and "all 75 rows are of class 0" in got[name].reason
    assert got["f1"].value is None and got["f1"].reason == "no row is of the positive class 1"
    assert list(task.figures([0] * 75, np.linspace(0, 0.6, 75), {})) == ["calibration", "confusion"]


@pytest.mark.slow
def test_a_class_without_rows_is_left_out_of_means_and_named():
    """The vocabulary has a class that the split lacks: means are over the others, and a note says so."""
    truth, p = softmax_case(0)
    here = truth != 2
    task = Classification(classes=[0, 1, 2, 3])
    got = {name: score.value for name, score in task.score(truth[here], p[here]).items()}
    t, p = truth[here], p[here]
    assert got["roc_auc"] == pytest.approx(np.mean([auc_by_pairs(t == k, p[:, k]) for k in (0, 1, 3)]))
    guess = p.argmax(axis=1)
    assert got["balanced_accuracy"] == pytest.approx(
        np.mean([(guess[t == k] == k).mean() for k in (0, 1, 3)])
    )
    assert got["log_loss"] == pytest.approx(-np.log(p[np.arange(len(t)), t]).mean())
    assert task.details(t, p)["notes"]["classes"].startswith("no rows of class 2;")
    assert len(task.figures(t, p, {"same": p})) == 4


def test_the_order_of_the_vocabulary_is_that_of_the_columns():
    """Columns belong to the classes as given, whatever their order."""
    assert Classification(classes=["b", "a"]).score(["a", "b"], [0.9, 0.2])["accuracy"].value == 1.0
    swapped = np.eye(3)[[2, 0, 1]]
    assert Classification(classes=["c", "a", "b"]).score(ABC, np.eye(3)[[1, 2, 0]])["accuracy"].value == 1.0
    assert Classification(classes=ABC).score(["c", "a", "b"], swapped)["accuracy"].value == 1.0


def test_a_class_whose_rows_have_no_weight_is_none_of_the_classes_of_f1():
    """The report and the gate's form of it leave the class out of the mean, as they do without its row."""
    truth, answers, weights = [0, 1, 2, 0], np.eye(3)[[0, 1, 0, 0]], [1, 1, 0, 1]
    found = Classification(classes=[0, 1, 2], weights=weights)
    assert found.score(truth, answers)["f1"].value == 1.0
    assert paired.f1(found.read(truth, answers))(np.ones((1, 4))) == [1.0]


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 4])
def test_a_whole_weight_counts_as_that_many_rows(size):
    """Rows of weight 3 score as three equal rows, and rows of weight 0 as if they were not there."""
    truth, p = softmax_case(2, classes=size)
    weights = np.arange(60) % 4
    answers = p[:, 1] if size == 2 else p
    repeated = Classification(classes=list(range(size))).score(
        np.repeat(truth, weights), answers.repeat(weights, axis=0)
    )
    weighed = Classification(classes=list(range(size)), weights=weights).score(truth, answers)
    for name, score in weighed.items():
        assert score.value == pytest.approx(repeated[name].value), name
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Classification(weights=weights).figures(truth, answers, {})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 weights for 2 rows"),
        ([1.0, -1.0], "negative in row 1"),
        ([0, 0], "All 2 weights are 0"),
        ([1, None], "not finite in row 1"),
        (["a", "b"], "cannot be read as numbers"),
    ],
)
def test_weights_that_are_none_say_why(weights, message):
    """Weights are finite, not negative, and one for each row."""
    with pytest.raises(EvaluationError, match=message):
        Classification(weights=weights).score([0, 1], [0.2, 0.8])

"""Tasks with several labels: scores, tables, figures, baselines, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from mlops_lib import evaluation
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.changed_rows import changed_rows
from mlops_lib.evaluation.judged import JudgedRows

RNG = np.random.default_rng(0)
ROWS = 200
FEATURES = pd.DataFrame({"나이": RNG.normal(45, 10, ROWS), "지역": RNG.choice(["서울", "부산"], ROWS)})
TAGS = np.column_stack([FEATURES["나이"] > 50, FEATURES["지역"] == "서울"]).astype(float)
NUMBERS = np.column_stack([FEATURES["나이"] * 2, 1e6 + 1e5 * (FEATURES["지역"] == "서울")])
NAMES, SHIFT = ["커피", "차"], np.array([1.0, 0.0])


def report(task, truth, predicted, baselines=()):
    return evaluation.evaluate(
        task, truth, predicted, split="test", classes=NAMES, train=(FEATURES, truth), test_x=FEATURES,
        baseline_names=baselines,
    )  # fmt: skip


def test_yes_no_labels_have_scores_a_table_and_a_figure():
    """A perfect model, and baselines that know the shares alone, or each label's logistic regression."""
    found = report("multilabel", TAGS, 0.1 + 0.8 * TAGS, ["shares", "logistic_each"])
    values = {name: score.value for name, score in found.metrics.items()}
    assert values["mean_roc_auc"] == values["micro_f1"] == values["subset_accuracy"] == 1.0
    assert values["hamming_loss"] == 0.0 and values["mean_log_loss"] == pytest.approx(-np.log(0.9))
    assert found.baselines["shares"]["mean_roc_auc"].value == 0.5
    assert found.baselines["logistic_each"]["mean_roc_auc"].value > 0.99
    table = found.tables["Labels"].set_index("label")
    assert list(table.index) == NAMES and table.loc["커피", "rows"] == TAGS[:, 0].sum()
    assert found.figures["labels"].png.startswith(b"\x89PNG")


def test_a_label_that_no_row_has_is_left_out_and_named():
    """The mean is that of the others."""
    truth = np.column_stack([TAGS[:, 0], np.zeros(ROWS)])
    found = report("multilabel", truth, np.column_stack([TAGS[:, 0], np.full(ROWS, 0.5)]))
    assert found.metrics["mean_roc_auc"].value == 1.0 and "'차'" in found.notes["labels"]
    nothing = report("multilabel", np.zeros((ROWS, 2)), np.full((ROWS, 2), 0.5))
    assert nothing.metrics["mean_roc_auc"].value is None and nothing.metrics["micro_f1"].value is None
    assert nothing.metrics["hamming_loss"].value == 0.0


@pytest.mark.slow
def test_numbers_are_scored_in_their_own_units():
    """A label of millions does not drown one of tens."""
    found = report("multioutput", NUMBERS, NUMBERS * [1, 1] + [2.0, 0.0], ["means", "ridge_each"])
    assert found.metrics["mean_r2"].value > 0.97 and 0 < found.metrics["scaled_rmse"].value < 0.1
    assert found.baselines["means"]["mean_r2"].value == pytest.approx(0.0)
    assert found.baselines["ridge_each"]["mean_r2"].value > 0.9
    table = found.tables["Labels"].set_index("label")
    assert table.loc["커피", "rmse"] == pytest.approx(2.0) and table.loc["차", "rmse"] == 0.0
    assert found.figures["labels"].png.startswith(b"\x89PNG")
    constant = report("multioutput", np.ones((ROWS, 2)), np.ones((ROWS, 2)))
    assert constant.metrics["mean_r2"].value is None and "'커피'" in constant.metrics["mean_r2"].reason


@pytest.mark.parametrize(
    ("task", "truth", "predicted", "words"),
    [
        ("multilabel", TAGS + 1, TAGS, "y_true of label '.*' is 2 in row"),
        ("multilabel", TAGS, TAGS * 1.2, "no probability; scores need a sigmoid"),
        ("multilabel", TAGS, TAGS[:, :1], "y_pred has 1 columns for the 2 labels 커피, 차"),
        ("multilabel", TAGS, TAGS[:, 0], r"y_pred has shape \(200,\)"),
        ("multilabel", TAGS, TAGS[:-1], "200 rows and y_pred 199"),
        ("multioutput", NUMBERS, np.where(NUMBERS > 1e6, np.nan, NUMBERS), "not finite in"),
        ("multioutput", NUMBERS[:, :1], NUMBERS, "y_true has 1 columns"),
    ],
)
def test_rows_that_cannot_be_scored_are_named(task, truth, predicted, words):
    with pytest.raises(EvaluationError, match=words):
        report(task, truth, predicted)


def test_rows_that_changed_name_the_labels():
    """Truth and both answers by label; the worst changes come first."""
    ids = [str(row) for row in range(ROWS)]
    good, bad = 0.1 + 0.8 * TAGS, 0.1 + 0.8 * TAGS
    bad[3] = 1 - bad[3]
    sides = [JudgedRows("multilabel", ids, ids, TAGS, one, NAMES) for one in (bad, good)]
    table, sentence = changed_rows(*sides, "mean_roc_auc", True)
    assert sentence == "1 of 200 rows changed: 1 fewer labels right, 0 more labels right."
    assert table.loc[0, "champion"].startswith("커피 0.") and table.loc[0, "row"] == 3
    sides = [JudgedRows("multioutput", ids, ids, NUMBERS, one, NAMES) for one in (NUMBERS, NUMBERS + SHIFT)]
    table, sentence = changed_rows(*sides, "mean_r2", True)
    assert sentence == "200 of 200 rows changed: 0 further off, 200 closer." and table["difference"].min() > 0


def test_the_table_of_numbers_weighs_its_rows():
    """The mean too, as the scores beside it."""
    weights = np.where(NUMBERS[:, 1] > 1e6, 1.0, 0.0)
    found = evaluation.evaluate(
        "multioutput", NUMBERS, NUMBERS, split="test", classes=NAMES, weights=weights
    ).tables["Labels"]  # fmt: skip
    found = found.set_index("label")
    assert found.loc["차", "mean"] == pytest.approx(1.1e6)
    # All rows with weight are in 서울.
    assert np.isnan(found.loc["차", "r2"]) and found.loc["커피", "r2"] == 1.0


def test_labels_of_rows_without_weight_are_no_labels():
    """F1 has no value, as without these rows: 0 would be a score."""
    truth, weights = np.array([[0, 0], [0, 0], [1, 0]]), [1, 1, 0]
    found = evaluation.evaluate("multilabel", truth, truth * 0.8, split="test", weights=weights)
    assert (
        found.metrics["micro_f1"].reason == found.metrics["macro_f1"].reason == "no row has any of the labels"
    )
    assert found.metrics["hamming_loss"].value == 0.0

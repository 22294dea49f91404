"""Judging trained models: classes, splits without a class, labels of any kind."""

import pandas as pd
import pytest

from mlops_lib.errors import DataError
from tests.support.projects import evaluated


def judged(stored, tables: dict[str, pd.DataFrame], **evaluation):
    """Train a logistic regression on ready-made splits and evaluate it; the report."""
    stored.configure(
        data={"label": "y", "key": ""},
        model={
            "wrapper": "sklearn",
            "implementation": "sklearn.linear_model:LogisticRegression",
            "params": {},
        },
        evaluation={
            "metric": "accuracy",
            "threshold": 0.5,
            "baselines": ["majority", "logistic"],
            **evaluation,
        },
    )
    return evaluated(stored, tables)


def table(labels: list, repeat: int = 10) -> pd.DataFrame:
    """Rows whose feature tells the labels apart."""
    return pd.DataFrame({"x": [*range(len(labels))] * repeat, "y": labels * repeat})


def test_a_class_of_the_test_split_alone_is_an_error(stored):
    """Class d once took the column of class c: accuracy 1.0, passed. The first step refuses it."""
    splits = {"train": table(["a", "b", "c"]), "validation": table(["a", "b", "c"])}
    with pytest.raises(DataError, match=r"'y' has classes in the test split that .* lacks: 'd' \(rows: 10\)"):
        judged(stored, splits | {"test": table(["a", "b", "d"])})


@pytest.mark.slow
def test_a_class_of_the_test_split_alone_can_count_as_wrong(stored):
    """The user chose it: a third of the rows is wrong, and the report says so."""
    splits = {"train": table(["a", "b", "c"]), "validation": table(["a", "b", "c"])}
    report = judged(stored, splits | {"test": table(["a", "b", "d"])}, unknown_class="wrong")
    assert report.metrics["accuracy"].value == pytest.approx(2 / 3) and report.verdict.passed
    assert "10 of 30 rows" in report.tables["Notes"].set_index("about").loc["unknown_class", "note"]


@pytest.mark.slow
def test_a_test_split_without_a_positive_has_an_accuracy(stored):
    """300 rows with 2 positives: accuracy decides, and the metrics without a value say why."""
    rare = pd.DataFrame({"x": [i % 30 for i in range(180)], "y": [0] * 178 + [1] * 2})
    none = pd.DataFrame({"x": [i % 30 for i in range(60)], "y": [0] * 60})
    report = judged(stored, {"train": rare, "validation": none, "test": none})
    assert report.verdict.passed and report.verdict.score == 1.0
    assert report.metrics["roc_auc"].value is None
    assert report.notes["roc_auc"] == "no value: all 60 rows are of class 0, and it compares classes"


@pytest.mark.slow
@pytest.mark.parametrize("labels", [("Yes", "No"), (True, False), (-1, 1), (10, 20)])
def test_labels_of_any_kind_are_judged(stored, labels):
    """Text, booleans and any integers, in every metric and baseline."""
    report = judged(stored, dict.fromkeys(["train", "validation", "test"], table(list(labels), 20)))
    assert report.metrics["accuracy"].value == 1.0 and report.metrics["roc_auc"].value == 1.0
    assert report.baselines["logistic"]["accuracy"].value == 1.0

"""The comparison of a version with the model that was made again."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.lineage.compare import compare


@pytest.fixture
def folders(tmp_path):
    """Two models with the same weights and another MLmodel."""
    for name in ("before", "now"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "MLmodel").write_text(f"run: {name}")
        (tmp_path / name / "data/weights").write_bytes(b"weights")
    return tmp_path / "before", tmp_path / "now"


def rows(predicted, truth=(0, 1, 1), task="classification") -> JudgedRows:
    return JudgedRows(task, ["a", "b", "c"], ["a", "b", "c"], np.array(truth), predicted)


def test_equal_predictions_are_identical(folders):
    """The bits of each, also where a model gives no number."""
    one = rows(np.array([0.1, math.nan, 0.9], np.float32))
    found = compare(one, replace(one, predicted=one.predicted.copy()), folders, 0.001)
    assert found.outcome == "identical" and found.files == "all 1 are identical"


@pytest.mark.parametrize(
    ("gap", "outcome"),
    [
        (1e-9, "within tolerance"),
        (0.0009, "within tolerance"),
        (0.0011, "different"),
        (math.nan, "different"),
    ],
)
def test_the_largest_difference_decides(folders, gap, outcome):
    """It is printed, with the number of rows that differ."""
    found = compare(rows(np.array([0.1, 0.5, 0.9])), rows(np.array([0.1, 0.5 + gap, 0.9])), folders, 0.001)
    assert found.outcome == outcome and "1 of 3 differ" in found.predictions
    assert found.largest == pytest.approx(math.inf if math.isnan(gap) else gap, rel=1e-6)


def test_a_difference_just_above_the_tolerance_is_printed_so(folders):
    """0.0010004 is no 0.001."""
    found = compare(rows(np.array([0.1, 0.0, 0.9])), rows(np.array([0.1, 0.0010004, 0.9])), folders, 0.001)
    assert found.predictions == "1 of 3 differ, by 0.0010004 at most (tolerance 0.001)"


def test_a_regression_is_measured_on_the_range_of_the_truth(folders):
    """One euro in a thousand is little."""
    truth = [0.0, 500.0, 1000.0]
    before, now = (rows(np.array(p), truth, "regression") for p in ([1.0, 2.0, 3.0], [1.0, 2.0, 3.5]))
    assert compare(before, now, folders, 0.001).outcome == "within tolerance"


def test_scores_and_losses_are_measured_on_their_own_range(folders):
    """They have no truth in their unit."""
    for task in ("ranking", "loss"):
        before, now = (rows(np.array(p), task=task) for p in ([0.0, 500.0, 1000.0], [0.0, 500.5, 1000.0]))
        assert compare(before, now, folders, 0.001).largest == 0.0005


def test_several_classes_are_compared_column_by_column(folders):
    """A row counts once."""
    before = rows(np.full((3, 4), 0.25))
    after = before.predicted.copy()
    after[1] = [0.2, 0.3, 0.25, 0.25]
    found = compare(before, replace(before, predicted=after), folders, 0.1)
    assert found.outcome == "within tolerance" and "1 of 3 differ, by 0.05" in found.predictions


def test_texts_are_identical_or_not(folders):
    """A text that reads as the same number is another text."""
    before, now = rows(["5", "no", None], task="text"), rows(["5.0", "no", None], task="text")
    assert compare(before, before, folders, 0.1).outcome == "identical"
    found = compare(before, now, folders, 0.1)
    assert found.outcome == "different" and found.predictions == "2 of 3 are identical"


def test_other_rows_or_classes_are_different(folders):
    """Predictions for other rows say nothing."""
    one = rows(np.array([0.1, 0.5, 0.9]))
    assert compare(one, replace(one, ids=["a", "c", "b"]), folders, 1).outcome == "different"
    assert compare(one, replace(one, classes=["x", "y"]), folders, 1).outcome == "different"


def test_without_stored_predictions_the_files_decide(folders):
    """Identical files are the same model; others could be anything."""
    assert compare(None, rows(np.array([0.1, 0.5, 0.9])), folders, 1).outcome == "identical"
    (folders[1] / "data/weights").write_bytes(b"others")
    found = compare(None, None, folders, 1)
    assert found.outcome == "different" and "not data/weights" in found.files
    assert "the version has no stored predictions" in found.predictions

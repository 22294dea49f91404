"""Scores and reports."""

import math

import pytest

from mlops_lib.evaluation.report import EvaluationReport, Score

FULL = Score(value=0.75, scored=8)
PARTIAL = Score(value=0.5, scored=6, errored=1, empty=1)
NOTHING = Score(value=None, scored=0, errored=8)


def report(**metrics: Score) -> EvaluationReport:
    baselines = {"majority": {"auc": Score(value=0.5, scored=8)}}
    return EvaluationReport(task="classification", split="test", rows=8, metrics=metrics, baselines=baselines)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_refuses_what_is_not_finite(value):
    """A NaN would make every comparison with a threshold False, so it never becomes a score."""
    with pytest.raises(ValueError, match="finite"):
        Score(value=value, scored=1)


@pytest.mark.parametrize("wrong", [{"value": 0.5, "scored": 0}, {"value": None, "scored": 3}])
def test_a_value_needs_rows_and_rows_a_value(wrong):
    """A value over no rows, or rows that gave no value, is a mistake of whoever made the score."""
    with pytest.raises(ValueError, match="at least one scored row"):
        Score(**wrong)


@pytest.mark.parametrize("counts", [{"scored": -1}, {"scored": 1, "errored": -1}, {"scored": 1, "empty": -2}])
def test_counts_are_not_negative(counts):
    """A negative count would push coverage above one."""
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        Score(value=0.5, **counts)


def test_coverage_is_the_share_of_rows_scored():
    """Errored and empty rows both count against coverage, and no rows at all are no coverage."""
    assert FULL.coverage == 1.0
    assert PARTIAL.coverage == 6 / 8
    assert NOTHING.coverage == 0.0
    assert Score(value=None, scored=0).coverage == 0.0


def test_scores_and_reports_are_frozen():
    """What was found cannot be changed after the fact."""
    with pytest.raises(ValueError, match="frozen"):
        FULL.value = 1.0
    with pytest.raises(ValueError, match="frozen"):
        report(auc=FULL).rows = 9


def test_flat_names_baselines_and_leaves_out_complete_coverage():
    """A complete score is one number; counts appear only where rows are missing."""
    assert report(auc=FULL).flat() == {"auc": 0.75, "baseline.majority.auc": 0.5}


def test_flat_gives_the_counts_of_incomplete_scores():
    """Someone who reads the tracker sees how many rows stand behind a partial score, and None is left out."""
    flat = report(auc=PARTIAL, f1=NOTHING).flat()
    assert flat == {
        "auc": 0.5,
        "auc.scored": 6.0,
        "auc.errored": 1.0,
        "auc.empty": 1.0,
        "auc.left_out": 0.0,
        "f1.scored": 0.0,
        "f1.errored": 8.0,
        "f1.empty": 0.0,
        "f1.left_out": 0.0,
        "baseline.majority.auc": 0.5,
    }
    assert all(isinstance(value, float) for value in flat.values())


def test_table_has_a_row_for_the_model_and_each_baseline():
    """Metrics that a baseline lacks, and scores without a value, are NaN in a numeric table."""
    table = report(auc=FULL, f1=NOTHING).table()
    assert list(table.index) == ["model", "majority", "scored", "errored", "empty", "left_out"]
    assert list(table.columns) == ["auc", "f1"]
    assert table.loc["model", "auc"] == 0.75 and table.loc["majority", "auc"] == 0.5
    assert table.loc[["model", "majority"], "f1"].isna().all() and table.loc["errored", "f1"] == 8
    assert {str(kind) for kind in table.dtypes} == {"float64"}


def test_a_report_survives_json():
    """A report written by one step reads back equal in the next."""
    before = report(auc=PARTIAL, f1=NOTHING)
    assert EvaluationReport.model_validate_json(before.model_dump_json()) == before

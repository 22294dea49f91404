"""The gate: at the threshold passes, and whatever is in doubt does not."""

import math

import pytest

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.gate import decide
from mlops_lib.evaluation.report import EvaluationReport, Score


def report(task: str = "classification", rows: int = 100, **metrics: Score) -> EvaluationReport:
    """A report of built-in metrics, with their directions."""
    known = plugins.names("metric", task)
    directions = {n: plugins.load("metric", n).higher_is_better for n in metrics if n in known}
    return EvaluationReport(task=task, split="test", rows=rows, metrics=metrics, directions=directions)


def full(value: float) -> Score:
    return Score(value=value, scored=100)


@pytest.mark.parametrize(
    ("value", "passed"), [(0.8, True), (0.75, True), (math.nextafter(0.75, 0), False), (0.1, False)]
)
def test_higher_is_better_passes_at_and_above_the_threshold(value, passed):
    """Exactly at the threshold passes; the next smaller number does not."""
    verdict = decide(report(roc_auc=full(value)), "roc_auc", 0.75)
    assert verdict.passed is passed and verdict.higher_is_better
    assert bool(verdict.reasons) is not passed


@pytest.mark.parametrize("metric", ["log_loss", "brier"])
@pytest.mark.parametrize(("value", "passed"), [(0.2, True), (0.3, True), (math.nextafter(0.3, 1), False)])
def test_losses_pass_at_and_below_the_threshold(metric, value, passed):
    """For a loss the direction turns round."""
    verdict = decide(report(**{metric: full(value)}), metric, 0.3)
    assert verdict.passed is passed and not verdict.higher_is_better


@pytest.mark.parametrize("metric", ["rmse", "mae", "median_absolute_error"])
def test_regression_errors_pass_at_and_below_the_threshold(metric):
    """Regression errors are losses, and r2 is not."""
    assert decide(report("regression", **{metric: full(1.0)}), metric, 2.0).passed
    assert not decide(report("regression", **{metric: full(3.0)}), metric, 2.0).passed
    assert decide(report("regression", r2=full(0.9)), "r2", 0.5).passed


def test_a_failing_score_says_by_how_much():
    """The reason holds score, threshold and gap, also where the first two print alike."""
    (reason,) = decide(report(roc_auc=full(0.7)), "roc_auc", 0.75).reasons
    assert reason == "roc_auc 0.7 is below the threshold 0.75 by 0.05."
    (reason,) = decide(report(brier=full(0.3000001)), "brier", 0.3).reasons
    assert reason == "brier 0.3000001 is above the threshold 0.3 by 1e-07."
    (reason,) = decide(report("regression", rmse=full(1_234_567.0)), "rmse", 1_234_560.0).reasons
    assert reason == "rmse 1,234,567 is above the threshold 1,234,560 by 7."


@pytest.mark.parametrize(
    ("metric", "score", "limit", "sentence"),
    [
        ("roc_auc", 0.99996, 0.99998, "roc_auc 0.99996, and the gate asks for at least 0.99998."),
        ("rmse", 4e-5, 3e-5, "rmse 4e-05, and the gate asks for at most 3e-05."),
        ("rmse", 4e-5, 0.5, "rmse 0.00004, and the gate asks for at most 0.5."),
        ("roc_auc", 0.8, 0.8, "roc_auc 0.8000, and the gate asks for at least 0.8."),
    ],
)
def test_no_score_is_rounded_to_the_other_side_of_its_threshold(metric, score, limit, sentence):
    """The sentence under the reasons shows the digits that decide, and no small error as 0."""
    task = "regression" if metric == "rmse" else "classification"
    assert sentence in str(decide(report(task, **{metric: full(score)}), metric, limit))


def test_one_row_of_many_that_was_not_scored_is_seen():
    """99.999 % are not 100.00 %."""
    (reason,) = decide(
        report(rows=100_000, roc_auc=Score(value=0.9, scored=99_999, errored=1)), "roc_auc", 0.5
    ).reasons
    assert reason.startswith(
        "roc_auc covers 99.999% of the rows; evaluation.min_coverage asks for 100%: 99999"
    )


def test_a_missing_metric_lists_those_there_are():
    """A gate on a metric that was never computed stops instead of passing."""
    with pytest.raises(EvaluationError, match=r"'auc'.*Metrics it has: brier, roc_auc"):
        decide(report(brier=full(0.1), roc_auc=full(0.9)), "auc", 0.5)
    with pytest.raises(EvaluationError, match="Metrics it has: none"):
        decide(report(), "roc_auc", 0.5)


def test_a_metric_of_unknown_direction_is_refused():
    """Without knowing whether higher is better there is nothing to decide."""
    with pytest.raises(EvaluationError, match="rmse"):
        decide(report("classification", rmse=full(1.0)), "rmse", 2.0)


@pytest.mark.parametrize("min_coverage", [0.0, 1.0])
def test_no_value_does_not_pass(min_coverage):
    """A metric that could not be scored fails, however low the coverage asked for."""
    score = Score(value=None, scored=0, errored=100)
    verdict = decide(report(roc_auc=score), "roc_auc", 0.0, min_coverage)
    assert not verdict.passed and verdict.score is None
    assert "none of 100 rows could be scored" in verdict.reasons[0]


def test_too_little_coverage_does_not_pass_a_good_score():
    """A perfect mean over the rows that survived is not a perfect model."""
    score = Score(value=1.0, scored=90, errored=7, empty=3)
    verdict = decide(report(roc_auc=score), "roc_auc", 0.5)
    assert not verdict.passed
    assert verdict.reasons == (
        "roc_auc covers 90% of the rows; evaluation.min_coverage asks for 100%: 90 scored, 7 errored, 3 empty.",
    )
    assert decide(report(roc_auc=score), "roc_auc", 0.5, min_coverage=0.9).passed
    assert not decide(report(roc_auc=score), "roc_auc", 0.5, min_coverage=0.91).passed


def test_rows_that_nobody_counted_do_not_pass():
    """A score that leaves rows out without calling them errored or empty is not complete."""
    verdict = decide(report(rows=120, roc_auc=full(0.9)), "roc_auc", 0.5)
    assert verdict.reasons == ("roc_auc accounts for 100 of the 120 rows of split test.",)
    assert not verdict.passed


def test_every_reason_is_given():
    """Someone who mends a failing model hears of all that is wrong at once."""
    score = Score(value=0.4, scored=50, empty=10)
    assert len(decide(report(roc_auc=score), "roc_auc", 0.5).reasons) == 3


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -math.inf])
def test_a_threshold_must_be_finite(threshold):
    """Minus infinity would let everything pass, and NaN depends on how the comparison is written."""
    with pytest.raises(EvaluationError, match="finite"):
        decide(report(roc_auc=full(0.9)), "roc_auc", threshold)


@pytest.mark.parametrize("min_coverage", [math.nan, -0.1, 1.1, 95])
def test_min_coverage_is_a_share(min_coverage):
    """95 for 95 % is a slip that must not fail (or pass) every model silently."""
    with pytest.raises(EvaluationError, match="from 0 to 1"):
        decide(report(roc_auc=full(0.9)), "roc_auc", 0.5, min_coverage)

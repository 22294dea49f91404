"""The first threshold: better than guessing, at most what is possible."""

import re

import pytest

from mlops_lib.cli.init.threshold import Threshold, _between


@pytest.mark.parametrize(
    ("metric", "guess", "linear", "threshold"),
    [
        ("roc_auc", 0.5, 0.8, 0.65),
        ("roc_auc", 0.5, 0.801, 0.65),
        ("roc_auc", 0.9, 0.9962, 0.95),
        ("accuracy", 0.98, 0.999, 0.99),
        ("r2", -0.007, 0.909, 0.45),
        ("r2", -0.004, 0.782, 0.39),
        ("rmse", 2512.3, 1201.7, 1860.0),
        ("roc_auc", 0.5, 1.0, 0.75),
        ("roc_auc", 0.5, 0.4, 0.55),
        ("roc_auc", 0.5, None, 0.55),
        ("roc_auc", None, None, 0.55),
        ("accuracy", 0.98, 0.98, 0.99),
        ("accuracy", 0.999, 0.999, 0.9995),
        ("r2", -0.004, 0.5, 0.25),
        ("r2", -0.004, -0.9, 0.05),
        ("rmse", 25_000.0, 15_000.0, 20_000.0),
        ("rmse", 25_000.0, 30_000.0, 23_700.0),
        ("mae", 0.004, 0.002, 0.003),
        ("log_loss", 0.6, 0.4, 0.5),
        ("brier", 0.2, 0.2, 0.19),
    ],
)
def test_it_is_half_way_and_clearly_better_than_guessing(metric, guess, linear, threshold):
    """Whether higher or lower is better; rounded to two significant digits, or more where these miss the middle."""
    assert _between(guess, linear, metric) == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("value", "scores", "words"),
    [
        (
            0.65,
            {"majority": 0.5, "logistic": 0.801},
            "about half way from majority 0.500, .* to logistic 0.801",
        ),
        (
            0.55,
            {"majority": 0.5, "logistic": 0.45},
            "better than majority 0.500, .*; logistic 0.450 is hardly",
        ),
        (0.55, {"majority": 0.5}, "better than majority 0.500, which ignores the features, on"),
        (0.05, {"mean": -0.0002, "ridge": -0.9}, "better than mean 0.000, .*; ridge -0.900 is hardly"),
        (20_000, {"mean": 25_000.0, "ridge": 15_000.0}, "about half way from mean 25000.000"),
        (3e-4, {"mean": 4e-4, "ridge": 2e-4}, "about half way from mean 0.0004, .* to ridge 0.0002"),
        (0.55, {}, "a guess"),
    ],
)
def test_its_reason_is_what_happened(value, scores, words):
    """Half way, or as far as needed from guessing."""
    baseline = "mean" if "mean" in scores else "majority"
    assert re.match(words, Threshold(value, baseline, scores, {}).reason())


def test_a_threshold_that_was_given_has_no_other_origin():
    """The scores of the baselines are beside it, for comparison."""
    found = Threshold(0.8, "mean", {"mean": -0.0002, "ridge": 0.548}, {}, is_given=True)
    assert found.reason() == "set with --set; mean 0.000 and ridge 0.548 on the validation rows"

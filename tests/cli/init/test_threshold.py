"""The first threshold: better than guessing, at most what is possible."""

import pytest

from mlops_lib.cli.init.threshold import _between


@pytest.mark.parametrize(
    ("metric", "guess", "linear", "threshold"),
    [
        ("roc_auc", 0.5, 0.8, 0.65),
        ("roc_auc", 0.5, 0.801, 0.66),
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
    """Rounded in the direction of better, whether higher or lower is better."""
    assert _between(guess, linear, metric) == pytest.approx(threshold)

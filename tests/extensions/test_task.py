"""A new task is one file and one line; so is a new baseline."""

import numpy as np
import pytest

from mlops_lib.evaluation import decide, evaluate

TASK = """
from mlops_lib.evaluation.report import Score
from mlops_lib.evaluation.tasks.interface import Task

class Sign(Task):
    '''Predictions are numbers; only their sign counts.'''

    name = "sign"
    metrics = {"same_sign": True}

    def score(self, y_true, y_pred):
        same = sum((t > 0) == (p > 0) for t, p in zip(y_true, y_pred, strict=True))
        return {"same_sign": Score(value=same / len(y_true), scored=len(y_true))}

    def figures(self, y_true, y_pred, baselines):
        return {}
"""
BASELINE = """
import numpy as np

def always_one(train_x, train_y):
    return lambda x: np.ones(len(x))
"""


def test_a_toy_task_is_scored_and_decided_beside_a_toy_baseline(stored, extend):
    """Report, baseline and gate work from the two lines alone."""
    extend("task", "sign", "Sign", TASK)
    extend("baseline", "always_one", "always_one", BASELINE, task="sign")
    settings = stored.settings(
        evaluation__task="sign",
        evaluation__metric="same_sign",
        evaluation__threshold=0.7,
        evaluation__baselines=("always_one",),
    )
    x = np.zeros((4, 1))
    report = evaluate(
        "sign",
        [1, -1, 2, -3],
        [5, -5, 5, 5],
        split="test",
        train=(x, [1, 1, 1, 1]),
        test_x=x,
        baseline_names=settings.evaluation.baselines,
        settings=settings,
    )
    assert report.metrics["same_sign"].value == 0.75
    assert report.baselines["always_one"]["same_sign"].value == pytest.approx(0.5)
    assert decide(report, "same_sign", settings.evaluation.threshold).passed

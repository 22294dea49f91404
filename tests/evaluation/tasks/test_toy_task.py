"""A new task is one file and one line: a toy task with a metric of its own."""

import sys

import numpy as np
import pytest

from mlops_lib import config, plugins
from mlops_lib.evaluation import decide, evaluate
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.paired import compare

TOY = """
import numpy as np
from mlops_lib.evaluation.metrics import metric
from mlops_lib.evaluation.tasks.arrays import ArrayTask

class Counting(ArrayTask):
    name = "counting"

    def read(self, y_true, y_pred):
        return np.asarray(y_true), np.asarray(y_pred)

    def figures(self, y_true, y_pred, baselines):
        return {}

@metric(higher_is_better=False, lowest=0)
def miscounts(cases):
    truth, predicted = cases
    return int((truth != predicted).sum())

def last(train_x, train_y):
    return lambda x: np.full(len(x), train_y[-1])
"""


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """The toy task, its metric and its baseline in the plugin table."""
    (tmp_path / "toy_task.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(plugins.TABLE["task"], "counting", plugins.Plugin("toy_task:Counting"))
    monkeypatch.setitem(
        plugins.TABLE["metric"], "miscounts", plugins.Plugin("toy_task:miscounts", task="counting")
    )
    monkeypatch.setitem(plugins.TABLE["baseline"], "last", plugins.Plugin("toy_task:last", task="counting"))
    yield
    sys.modules.pop("toy_task", None)


def test_a_task_of_one_file_and_one_line_is_scored_and_gated(counting, tmp_path):
    """The configuration accepts it with its metric and baseline, a report has both, and the gate decides."""
    (tmp_path / "config.yaml").write_text(
        "data: {source: a.csv, label: y}\n"
        "evaluation: {task: counting, metric: miscounts, threshold: 1, baselines: [last]}\n"
    )
    settings = config.load(tmp_path / "config.yaml")
    report = evaluate(
        "counting",
        [1, 2, 3],
        [1, 2, 4],
        split="test",
        train=([[0], [0]], [7, 3]),
        test_x=[[0]] * 3,
        baseline_names=settings.evaluation.baselines,
        settings=settings,
    )
    assert report.flat() == {"miscounts": 1.0, "baseline.last.miscounts": 2.0}
    assert decide(report, "miscounts", settings.evaluation.threshold).passed


BETWEEN = """
from mlops_lib.evaluation.report import Score
from mlops_lib.evaluation.tasks.interface import Task

class Between(Task):
    name, metrics = "between", {"inside": True}

    def score(self, y_true, y_pred):
        assert len(self.references) == len(y_pred), "references are missing"
        inside = [one["from"] <= x <= one["to"] for one, x in zip(self.references, y_pred)]
        return {"inside": Score(value=sum(inside) / len(inside), scored=len(inside))}

    def figures(self, y_true, y_pred, baselines):
        return {}
"""


def test_a_task_that_needs_references_is_compared(tmp_path, monkeypatch):
    """Each resample scores its rows with the references of these rows."""
    (tmp_path / "between_task.py").write_text(BETWEEN)
    monkeypatch.syspath_prepend(tmp_path)
    ids = [str(row) for row in range(40)]
    references = [{"from": row, "to": row + 1} for row in range(40)]

    def judged(predicted):
        return JudgedRows("between_task:Between", ids, ids, np.zeros(40), predicted, references=references)

    ours, theirs = judged(np.arange(40) + 0.5), judged(np.arange(40) + 0.5 + (np.arange(40) % 4 == 0))
    (found,) = compare(ours, theirs, {"inside": 0.01}, resampled=200)
    assert (found.challenger, found.champion, found.outcome) == (1.0, 0.75, "better")
    sys.modules.pop("between_task", None)

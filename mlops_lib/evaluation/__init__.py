"""Scoring predictions against the truth: numbers in, a report and figures out; nothing is logged here.

``evaluate`` scores a model and its baselines with the metrics of a task, ``decide`` says whether a score is
good enough. Tasks are named in ``mlops_lib.plugins`` and imported on first use.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib import plugins
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.gate import decide
from mlops_lib.evaluation.report import EvaluationReport, Score, Verdict

if TYPE_CHECKING:
    from mlops_lib.settings import Settings

__all__ = ["EvaluationReport", "Score", "Verdict", "decide", "evaluate"]


def evaluate(
    task_name: str,
    y_true: Any,
    y_pred: Any,
    *,
    split: str,
    train: tuple[Any, Any] | None = None,
    test_x: Any = None,
    baseline_names: Sequence[str] = (),
    settings: "Settings | None" = None,
) -> EvaluationReport:
    """Score predictions, and the named baselines on the same rows.

    Args:
        task_name: A task of ``mlops_lib.plugins`` ("regression", say), or ``package.module:Class``.
        y_true: The truth, N rows.
        y_pred: The predictions, N rows, in the form that the task's ``score`` describes.
        split: Name of the split the rows come from; kept in the report.
        train: Features and truth that the baselines learn from; needed with `baseline_names`.
        test_x: Features of the N rows, all at once or as an iterator over parts of them; needed with
            `baseline_names`.
        baseline_names: Baselines of the task to set beside the model.
        settings: For tasks whose metrics are chosen in config.yaml.

    Raises:
        PluginError: There is no such task, or what it imports is not installed.
        EvaluationError: The rows cannot be scored, or a baseline is unknown or cannot be fitted.
    """
    if baseline_names and (train is None or test_x is None):
        raise EvaluationError(
            f"The baselines {', '.join(baseline_names)} learn from training rows: give "
            "train=(features, truth) and test_x=features of the rows scored, or baseline_names=()."
        )
    task = plugins.load("task", task_name)(settings)
    metrics = task.score(y_true, y_pred)
    predictions = {}
    if train and baseline_names:
        import numpy as np

        fitted = task.fit_baselines(*train, baseline_names)
        parts: dict[str, list[Any]] = {name: [] for name in fitted}
        for part in test_x if isinstance(test_x, Iterator) else [test_x]:
            for name, predict in fitted.items():
                parts[name].append(predict(part))
        predictions = {name: np.concatenate(found) for name, found in parts.items()}
    baselines = {}
    for name, predicted in predictions.items():
        try:
            baselines[name] = task.score(y_true, predicted)
        except EvaluationError as error:
            raise EvaluationError(f"Baseline {name!r}: {error}") from error
    return EvaluationReport(
        task=task_name,
        split=split,
        rows=len(y_true),
        metrics=metrics,
        baselines=baselines,
        figures=task.figures(y_true, y_pred, predictions),
        **task.details(y_true, y_pred),
    )


def __getattr__(name: str) -> Any:
    """The places of `overview` and `profile` before they moved, for the notebooks of existing projects."""
    import importlib

    moved = {"overview": "mlops_lib.evaluation.figures.overview", "profile": "mlops_lib.data_checks.profile"}
    if name in moved:
        return importlib.import_module(moved[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

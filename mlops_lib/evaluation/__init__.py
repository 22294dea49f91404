"""Scores predictions against the truth: numbers in, a report and figures out. Nothing is logged here.

`evaluate` scores a model and its baselines with the metrics of a task; `decide` is the gate. Tasks,
metrics and baselines are named in `mlops_lib.plugins` and imported on first use.
"""

from collections.abc import Mapping, Sequence
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
    classes: Sequence[Any] = (),
    weights: Any = None,
    references: Sequence[Mapping[str, Any]] = (),
    facts: Mapping[str, Any] | None = None,
    train: tuple[Any, ...] | None = None,
    test_x: Any = None,
    baseline_names: Sequence[str] = (),
    settings: "Settings | None" = None,
) -> EvaluationReport:
    """Score predictions, and the named baselines on the same rows.

    Args:
        task_name: A task of `mlops_lib.plugins` such as "regression", or ``package.module:Class``.
        y_true: The truth, N rows.
        y_pred: The predictions, N rows, in the form that the task's class describes.
        split: Name of the split that the rows come from; stored in the report.
        classes: Classification: all classes of the train split, in the order of the prediction's columns. A
            label that is none of them is an error, or counts as wrong (``evaluation.unknown_class``). Empty:
            the classes of `y_true`, sorted.
        weights: Weights of the N rows; None: all count the same.
        references: The columns of ``data.reference_columns`` of the N rows; empty: there are none.
        facts: What else the task needs to know about the N rows; see `tasks.interface.Task`. None: nothing.
        train: Features and truth that the baselines learn from, and optionally their weights; needed with
            `baseline_names`.
        test_x: Features of the N rows, all at once or as an iterator over parts of them; needed with
            `baseline_names`.
        baseline_names: Baselines to compare with, by name or ``package.module:function``.
        settings: Chooses the metrics; None: the task's defaults.

    Raises:
        PluginError: A task, metric or baseline does not exist, or a package that it imports is not installed.
        EvaluationError: The rows cannot be scored, or a baseline cannot be fitted.
    """
    if baseline_names and (train is None or test_x is None):
        raise EvaluationError(
            f"The baselines {', '.join(baseline_names)} learn from training rows: give "
            "train=(features, truth) and test_x=features of the rows scored, or baseline_names=()."
        )
    more_rows = {"references": references} if references else {}  # a task of the user's own may not know them
    task = plugins.load("task", task_name)(settings, classes=classes, weights=weights, **more_rows)
    task.facts = facts or {}
    metrics = task.score(y_true, y_pred)
    more = task.details(y_true, y_pred)
    notes = {name: f"no value: {score.reason}" for name, score in metrics.items() if score.reason}
    notes |= more.pop("notes", {})
    predictions, baselines = {}, {}
    if baseline_names and train:
        from mlops_lib.evaluation.baselines import predictions as predictions_of
        from mlops_lib.evaluation.features import left_out

        predictions = predictions_of(baseline_names, train, test_x, classes, facts)
        if unused := left_out(train[0]):
            notes["baseline features"] = f"baselines that learn from features leave out {', '.join(unused)}"
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
        directions=dict(task.metrics),
        figures=task.figures(y_true, y_pred, predictions),
        notes=notes,
        **more,
    )


def __getattr__(name: str) -> Any:
    """Old import paths of `overview` and `profile`: notebooks in existing projects use them."""
    import importlib

    moved = {"overview": "mlops_lib.evaluation.figures.overview", "profile": "mlops_lib.data_checks.profile"}
    if name in moved:
        return importlib.import_module(moved[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Judge a trained model: score a split, ask the gate, and log report and verdict to the model's run."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib import evaluation, loaders, tracking
from mlops_lib.evaluation import gate
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.registry import GATE_TAG
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

#: Baselines learn from at most this many values (rows times features), because they load them all at once.
MAX_BASELINE_VALUES = 2_000_000

#: Scores a model on a split, without the gate.
Judge = Callable[[BaseDataLoader, Settings, Split], EvaluationReport]
#: Predictions [rows] for the features of some rows, in the form that the task scores.
Answers = Callable[[Any, Settings], Any]


def evaluate(
    judge: Judge, run_id: str, data_loader: BaseDataLoader, config: Settings, split: Split
) -> EvaluationReport:
    """Score a model, ask the gate, and log report and verdict to `run_id`.

    A replay (``evaluation.replay``) repeats an evaluation of the past, and logs nothing.
    """
    chosen = config.evaluation
    if not chosen.replay:
        _withdraw_verdict(run_id)
    report = judge(data_loader, config, split)
    verdict = gate.decide(report, chosen.metric, chosen.threshold, chosen.min_coverage)
    report = report.model_copy(update={"verdict": verdict})
    if not chosen.replay:
        _log_report(run_id, report)
        loaders.log_inputs(config, data_loader, run_id, split)
    return report


def score(
    answers: Answers,
    data_loader: BaseDataLoader,
    config: Settings,
    split: Split,
    classes: Sequence[Any] = (),
) -> EvaluationReport:
    """Score a model's predictions for a split, and the configured baselines beside them; nothing is logged.

    Args:
        answers: The model.
        data_loader: Rows with a label.
        config: The `evaluation` section is read.
        split: The split to score.
        classes: The classes of a classifier, in the order of its probabilities; empty: those of the train split.
    """
    chosen = config.evaluation
    schema = data_loader.schema
    label, features = schema.label, list(schema.features)
    truth, predicted, weights = [], [], []
    for rows in data_loader.parts(split):
        truth.append(rows[label].to_numpy())
        predicted.append(answers(rows[features], config))
        if schema.weight:
            weights.append(rows[schema.weight].to_numpy())
    train, note = None, {}
    if chosen.baselines:
        sample = data_loader.sample("train", max(MAX_BASELINE_VALUES // len(features), 1))
        weighed = sample[schema.weight].to_numpy() if schema.weight else None
        train = sample[features], sample[label].to_numpy(), weighed
        if (count := data_loader.count("train")) > len(sample):
            note = {"baselines": f"learned from {len(sample)} of {count} training rows, evenly spaced"}
    report = evaluation.evaluate(
        chosen.task,
        _joined(truth),
        _joined(predicted),
        split=split,
        classes=classes or schema.classes,
        weights=_joined(weights) if weights else None,
        train=train,
        test_x=(rows[features] for rows in data_loader.parts(split)),
        baseline_names=chosen.baselines,
        settings=config,
    )
    notes = report.notes | note
    tables = report.tables | ({"Notes": _table(notes)} if notes else {})
    return report.model_copy(update={"notes": notes, "tables": tables})


def _table(notes: dict[str, str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(notes.items(), columns=["about", "note"])


def _joined(parts: list[Any]) -> Any:
    """One array (or list) from the arrays (or lists) of all parts of a split."""
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [answer for part in parts for answer in part]


def _withdraw_verdict(run_id: str) -> None:
    """Remove the verdict of an earlier evaluation, in case this one fails."""
    import mlflow

    if run_id:
        mlflow.MlflowClient().set_tag(run_id, GATE_TAG, "none, the evaluation did not finish")


def _log_report(run_id: str, report: EvaluationReport) -> None:
    """Log metrics, report, figures, rows and the gate's verdict to the model's run."""
    import mlflow

    client = mlflow.MlflowClient()
    for name, value in report.flat().items():
        client.log_metric(run_id, f"{report.split}.{name}", value)
    tracking.log_text(run_id, report.model_dump_json(indent=2), f"evaluation/{report.split}/report.json")
    for name, figure in report.figures.items():
        client.log_figure(run_id, figure, f"evaluation/{report.split}/{name}.png")
    if report.per_row is not None:
        # MLflow's UI shows this form of JSON as a table.
        rows = report.per_row.to_json(orient="split", index=False, force_ascii=False)
        tracking.log_text(run_id, rows, f"evaluation/{report.split}/rows.json")
    if report.verdict:
        client.set_tag(run_id, GATE_TAG, "passed" if report.verdict.passed else "refused")

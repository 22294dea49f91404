"""Models that must not be promoted: what this gate decides on each,
and what MLflow's `validate_evaluation_results` does.

``python -m benchmarks.gate_cases``. MLflow asks for accuracy of 0.6 or more,
and for more than the baseline has.
"""

import dataclasses
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlops_lib import config, plugins
from mlops_lib.errors import MlopsError
from mlops_lib.evaluation import decide
from mlops_lib.evaluation.judged import Champion, JudgedRows
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.settings import Settings

ROWS = 600
rng = np.random.default_rng(0)
TRUTH = rng.integers(0, 2, ROWS)
CITY = np.where(np.arange(ROWS) < 540, "north", "south")


class Case(NamedTuple):
    """One model that must not pass, with the criteria of `evaluation.gate`."""

    name: str
    challenger: JudgedRows
    champion: JudgedRows | None
    gate: str = "{}"
    same_run: bool = False
    metric: str = "accuracy_score"


def answers(hits: np.ndarray) -> np.ndarray:
    """Predictions that are right where `hits` says so."""
    return np.where(hits, TRUTH, 1 - TRUTH).astype(float)


def rows(predicted: object, **more: object) -> JudgedRows:
    """The test split with one model's predictions."""
    ids = [f"row {number}" for number in range(ROWS)]
    judged = JudgedRows("classification", ids, ids, TRUTH, predicted, [0, 1], slices={"city": CITY.tolist()})
    return dataclasses.replace(judged, **more)  # type: ignore[arg-type]


def cases() -> list[Case]:
    """A better model than the champion (right on 0.90 against 0.70 of the rows) with one thing wrong each."""
    good, fair = rng.random(ROWS) < 0.9, rng.random(ROWS) < 0.7
    lucky = fair.copy()
    lucky[np.flatnonzero(~fair)[:40]], lucky[np.flatnonzero(fair)[:37]] = True, False
    copies = np.repeat(np.arange(30), 20)
    hit = np.where(np.arange(30) < 22, True, False)
    more = np.where((np.arange(30) >= 3) & (np.arange(30) < 28), True, False)
    order = rng.permutation(ROWS)
    keys = [str(place) for place in copies]
    south = good & (CITY == "north")
    failing = [value if number >= 60 else None for number, value in enumerate(answers(good))]
    nan = np.where(np.arange(ROWS) == 3, np.nan, answers(good))
    changed = rows(answers(fair), ids=[f"new {number}" for number in range(ROWS)])
    return [
        Case("the champion does not load", rows(answers(good)), None),
        Case("a prediction is NaN", rows(nan), rows(answers(fair))),
        Case("better in total, useless for one city", rows(answers(south)), rows(answers(fair)), "{slices: {city: all}}"),
        Case("a slice has no rows", rows(answers(good)), rows(answers(fair)), "{slices: {city: [west]}}"),
        Case("a slice is too small", rows(answers(good)), rows(answers(fair)), "{slices: {city: all}, min_slice_rows: 200}"),
        Case("failed on 60 rows of 600", rows(failing), rows(answers(rng.random(ROWS) < 0.85))),
        Case("the champion's rows are in another order", rows(answers(good)),
             rows(answers(fair)[order], ids=[f"row {n}" for n in order], truth=TRUTH[order])),
        Case("30 rows, 20 times each", rows(answers(more[copies]), entities=keys), rows(answers(hit[copies]), entities=keys)),
        Case("the data changed since the champion was judged", rows(answers(good)), changed),
        Case("compared with itself", rows(answers(fair)), rows(answers(fair)), same_run=True),
        Case("a better number by chance (3 rows)", rows(answers(lucky)), rows(answers(fair))),
        Case("the metric does not exist", rows(answers(good)), rows(answers(fair)), "{margins: {'shop:auc': 0.1}}", metric="auc"),
    ]  # fmt: skip


def ours(case: Case, settings: Settings) -> str:
    """This gate's decision on a case, with its first reason."""
    task = plugins.load("task", "classification")(None)
    champion = Champion("churn", 3, "run 3", rows=case.champion)
    if case.champion is None:
        champion = dataclasses.replace(champion, problem="Its package lightgbm is not installed.")
    # A row without a prediction is in the report as a wrong one, and in the rows as missing.
    predicted = [
        float(1 - y) if p is None else p for p, y in zip(case.challenger.predicted, TRUTH, strict=True)
    ]
    try:
        metrics = task.score(TRUTH, predicted)
        report = EvaluationReport(
            task=task.name, split="test", rows=ROWS, metrics=metrics, directions=dict(task.metrics)
        )
        verdict = decide(
            report, "accuracy", 0.6, settings=settings, candidate=case.challenger, champion=champion,
            run_id="run 3" if case.same_run else "run 4",
        )  # fmt: skip
    except MlopsError as error:
        return f"error: {error}"
    return "passed" if verdict.passed else f"refused: {verdict.reasons[0]}"


def mlflows(case: Case) -> str:
    """MLflow's decision on the same predictions; rows without one are left out,
    as its evaluation of LLMs does."""
    import mlflow
    from mlflow.models import MetricThreshold

    def evaluated(judged: JudgedRows) -> object:
        import pandas as pd

        frame = pd.DataFrame({"truth": judged.truth, "predicted": judged.predicted})
        frame = frame[[value is not None for value in judged.predicted]].astype({"predicted": float})
        with mlflow.start_run():
            return mlflow.models.evaluate(
                data=frame, predictions="predicted", targets="truth", model_type="classifier",
                evaluator_config={"log_model_explainability": False, "log_explainer": False},
            )  # fmt: skip

    limit = MetricThreshold(threshold=0.6, min_absolute_change=1e-9, greater_is_better=True)
    try:
        baseline = evaluated(case.champion) if case.champion is not None else None
        mlflow.validate_evaluation_results({case.metric: limit}, evaluated(case.challenger), baseline)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
    return "passed"


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        print("| case | this gate | MLflow |\n| --- | --- | --- |")
        for case in cases():
            file = Path(folder, "config.yaml")
            file.write_text(
                "data: {source: a.csv, label: y}\n"
                f"evaluation: {{metric: accuracy, threshold: 0.6, gate: {case.gate}}}\n"
            )
            found = [ours(case, config.load(file)), mlflows(case)]
            print(
                f"| {case.name} | " + " | ".join(one.replace("|", "\\|") for one in found) + " |", flush=True
            )


if __name__ == "__main__":
    main()

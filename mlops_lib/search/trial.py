"""One trial: a set of values, trained and scored, with all of its facts on an MLflow run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_lib import tracking, wrappers
from mlops_lib.errors import GpuStoppedError, MlopsError
from mlops_lib.evaluation import gate
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.redact import mask
from mlops_lib.search.space import with_values
from mlops_lib.settings import Settings

TRIAL = "trial"
#: On the run of a trial: its values, the direction of its metric, and its error.
VALUES_TAG, HIGHER_TAG, ERROR_TAG = (
    "mlops.search.values",
    "mlops.search.higher_is_better",
    "mlops.search.error",
)
MAX_ERROR_CHARS = 2000


@dataclass(frozen=True)
class Trial:
    """One set of values that was tried. A failed trial has an `error`, and None as its `score`.

    `stopped_gpu`: its training did, so that no other of this process can use the GPU; not on record in MLflow.
    """

    run_id: str
    values: dict[str, Any]
    score: float | None
    higher_is_better: bool
    error: str = ""
    stopped_gpu: bool = False


def attempt(settings: Settings, dataset: BaseDataLoader, parent: str, values: dict[str, Any]) -> Trial:
    """Train with `values`, and score on the validation split; the test split is for the chosen model alone.

    A failed trial is a failed run without a score, and the search goes on.
    """
    client = tracking.connect(settings)
    chosen = settings.evaluation.model_copy(update={"baselines": ()})
    # The validation rows judge the trial, so a model must not have learned from them.
    train = settings.train.model_copy(update={"refit": False})
    settings = settings.model_copy(update={"evaluation": chosen, "train": train})
    score, higher, run_id, why, stopped = None, True, "", "", False
    try:
        with tracking.child_run(settings, TRIAL, parent, {VALUES_TAG: json.dumps(values)}) as trial_run:
            run_id = trial_run.info.run_id
            for name, value in values.items():
                client.log_param(run_id, name, value)
            trial_settings = with_values(settings, values)
            model = wrappers.from_settings(trial_settings)
            model.train(dataset, trial_settings, run_id)
            # `latest_run` must not take a trial's model for the model of the project.
            client.set_tag(model.run_id, tracking.STEP_TAG, f"{TRIAL}-train")
            report = model.judge(dataset, trial_settings, "validation")
            verdict = gate.decide(report, chosen.metric, chosen.threshold, chosen.min_coverage)
            covered = report.metrics[chosen.metric].coverage >= chosen.min_coverage
            if verdict.score is None or not covered:
                raise MlopsError(" ".join(verdict.reasons))
            client.set_tag(run_id, HIGHER_TAG, verdict.higher_is_better)
            client.log_metric(run_id, f"validation.{chosen.metric}", verdict.score)
            score, higher = verdict.score, verdict.higher_is_better
    except Exception as error:  # a user's own model may raise anything
        if not run_id:
            raise
        text = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
        why = mask(text)[:MAX_ERROR_CHARS]
        client.set_tag(run_id, ERROR_TAG, why)
        stopped = isinstance(error, GpuStoppedError)
    return Trial(run_id, values, score, higher, why, stopped)


def trials(settings: Settings, parent: str) -> list[Trial]:
    """The finished and failed trials of a search, in order of start, without the interrupted ones."""
    client = tracking.connect(settings)
    experiment = client.get_run(parent).info.experiment_id
    query = f"tags.`{tracking.PARENT_TAG}` = '{parent}' and tags.`{tracking.STEP_TAG}` = '{TRIAL}'"
    found = client.search_runs(
        [experiment], query, order_by=["attributes.start_time ASC"], max_results=10_000
    )
    name = f"validation.{settings.evaluation.metric}"
    return [
        Trial(
            run.info.run_id,
            json.loads(run.data.tags[VALUES_TAG]),
            run.data.metrics[name] if run.info.status == "FINISHED" else None,
            run.data.tags.get(HIGHER_TAG, "True") == "True",
            run.data.tags.get(ERROR_TAG, ""),
        )
        for run in found
        if run.info.status in ("FINISHED", "FAILED")
    ]


def best(done: Sequence[Trial]) -> Trial | None:
    """The trial with the best score; None if no trial has one."""
    scored = [trial for trial in done if trial.score is not None]
    return max(scored, key=lambda t: t.score if t.higher_is_better else -t.score, default=None)  # type: ignore

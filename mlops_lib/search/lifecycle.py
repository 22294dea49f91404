"""A search from begin to finish: its parent run, the loop of trials, and the results on the parent run."""

import json
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from mlops_lib import tracking
from mlops_lib.errors import GpuStoppedError, MlopsError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.search import space
from mlops_lib.search.proposals import suggest
from mlops_lib.search.trial import Trial, attempt, best, trials
from mlops_lib.settings import Settings
from mlops_lib.training.lifecycle import FINGERPRINT_TAG

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

#: On the parent run: the space as JSON, and the run of the best trial.
SPACE_TAG, BEST_TAG = "mlops.search.space", "mlops.search.best_run"
#: A search ends when its first trials all fail: this many.
MAX_INITIAL_FAILURES = 3

#: Called after each trial, with the trial and all trials so far.
OnTrial = Callable[[Trial, list[Trial]], None]


def begin(settings: Settings, dataset: BaseDataLoader, resume: str = "", parent: str = "") -> str:
    """Id of the parent run of a search, set to RUNNING.

    Args:
        settings: Resolved settings.
        dataset: Rows that the trials train on.
        resume: Parent run of a search to continue; empty: begin a new one.
        parent: Run to use as the parent of a new search; empty: create one.

    Raises:
        MlopsError: The space is empty or has an invalid value, or `resume` is not a search over the same
            space and data.
    """
    space.check(settings)
    fixed = space.without_search(settings)
    same = {
        "space": {
            name: dimension.model_dump(mode="json") for name, dimension in settings.search.space.items()
        },
        "metric": settings.evaluation.metric,
        "model": fixed.model.model_dump(mode="json", exclude={"name"}),
        "train": fixed.train.model_dump(mode="json"),
    }
    tags = {SPACE_TAG: json.dumps(same, sort_keys=True), FINGERPRINT_TAG: dataset.fingerprint()}
    client = tracking.connect(settings)
    if resume:
        _check_same(settings, client, resume, tags)
        client.update_run(resume, status="RUNNING")
        return resume
    parent = parent or tracking.open_parent(settings)
    client.update_run(parent, status="RUNNING", name="search")
    for key, value in tags.items():
        client.set_tag(parent, key, value)
    return parent


def run(
    settings: Settings, dataset: BaseDataLoader, parent: str, on_trial: OnTrial = lambda trial, done: None
) -> Trial:
    """Run trials one after another until there are ``search.trials``; return the best trial.

    Args:
        settings: Resolved settings.
        dataset: Rows with a label.
        parent: Run from `begin`.
        on_trial: Called after each trial.

    Raises:
        MlopsError: No trial has a score.
        GpuStoppedError: A trial stopped the GPU; it is on record as failed, and later ones would fail for it.
    """
    log = settings.path(settings.pipeline.work_dir) / "searches" / f"{parent}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tracking.ended(tracking.connect(settings), parent), log.open("a", encoding="utf-8") as file:
        done = trials(settings, parent)
        while len(done) < settings.search.trials:
            (values,) = suggest(settings, done, 1)
            with redirect_stdout(file):
                trial = attempt(settings, dataset, parent, values)
            done.append(trial)
            on_trial(trial, done)
            if trial.stopped_gpu and len(done) < settings.search.trials:
                resume = settings.command("search", "--resume", parent)
                raise GpuStoppedError(f"This trial stopped the GPU. Continue the search without it: {resume}")
            if len(done) >= MAX_INITIAL_FAILURES and best(done) is None:
                break
        return finish(settings, parent)


def finish(settings: Settings, parent: str) -> Trial:
    """Log the figure, the best values and their score to the parent run; return the best trial.

    Raises:
        MlopsError: No trial has a score.
    """
    from mlops_lib.evaluation.figures import search

    client = tracking.connect(settings)
    done = trials(settings, parent)
    chosen = best(done)
    if chosen is None:
        raise MlopsError(f"All {len(done)} trials failed. The last one: {done[-1].error if done else 'none'}")
    assert chosen.score is not None  # `best` returns a trial with a score
    log = [name for name, dimension in settings.search.space.items() if dimension.log]
    figure = search.trials(
        [trial.score for trial in done], [trial.values for trial in done],
        settings.evaluation.metric, chosen.higher_is_better, log,
    )  # fmt: skip
    tracking.log_figure(parent, figure, "search/trials.png")
    tracking.log_text(parent, space.as_config(settings, chosen.values), "search/best.yaml")
    client.log_metric(parent, f"best.validation.{settings.evaluation.metric}", chosen.score)
    client.set_tag(parent, BEST_TAG, chosen.run_id)
    return chosen


def _check_same(settings: Settings, client: "MlflowClient", run_id: str, tags: dict[str, str]) -> None:
    """Check that a run is a search with these tags; else the scores of its trials do not compare."""
    from mlflow.exceptions import MlflowException

    try:
        before = client.get_run(run_id).data.tags
    except MlflowException as error:
        raise MlopsError(f"Search {run_id} cannot be resumed: {error.message}") from None
    if SPACE_TAG not in before:
        raise MlopsError(f"Run {run_id} is not a search, so it cannot be resumed as one.")
    for tag, what in (
        (SPACE_TAG, "search.space, evaluation.metric, model or train"),
        (FINGERPRINT_TAG, "the dataset"),
    ):
        if before.get(tag) != tags[tag]:
            raise MlopsError(
                f"Search {run_id} cannot be resumed: {what} has changed, so its scores would not compare. "
                f"Start a new one with: {settings.command('search')}"
            )
